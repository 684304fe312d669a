import { TrackmateProvider } from '@trackmate/react';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { createBrowserRouter, RouterProvider, redirect } from 'react-router';
import { Offer, Offers, Site } from './pages.js';

const router = createBrowserRouter([
  {
    Component: Site,
    children: [
      { path: '/', Component: Offers },
      { path: '/offers/:id', Component: Offer },
      { path: '/lisbon', loader: () => redirect('/offers/lisbon') },
    ],
  },
]);

const { VITE_TRACKMATE_KEY: key, VITE_TRACKMATE_ENDPOINT: endpoint } = import.meta.env;

createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <TrackmateProvider options={{ key, endpoint }}>
      <RouterProvider router={router} />
    </TrackmateProvider>
  </StrictMode>,
);
