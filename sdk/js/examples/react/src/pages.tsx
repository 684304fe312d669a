import { TrackOnView, useTrackEvent, useTrackmate } from '@trackmate/react';
import { Link, Outlet, useParams } from 'react-router';
import type { Events } from './events.js';

const OFFERS = [
  { id: 'lisbon', name: 'Four days in Lisbon', price: 690 },
  { id: 'porto', name: 'A week in Porto', price: 940 },
];

export function Site() {
  const trackmate = useTrackmate<Events>();
  return (
    <>
      <nav>
        <Link to="/">Offers</Link> <Link to="/lisbon">This week's offer</Link>{' '}
        <button type="button" onClick={() => trackmate.identify('u-17', { plan: 'gold' })}>
          Sign in
        </button>
      </nav>
      <Outlet />
    </>
  );
}

export function Offers() {
  return (
    <main>
      <title>Offers</title>
      <h1>Offers</h1>
      {OFFERS.map(({ id, name }) => (
        <p key={id}>
          <Link to={`/offers/${id}`}>{name}</Link>
        </p>
      ))}
    </main>
  );
}

export function Offer() {
  const { id = '' } = useParams();
  const { name = 'No such offer', price = 0 } = OFFERS.find((offer) => offer.id === id) || {};
  const book = useTrackEvent<Events>('Offer Booked', { id, price });
  return (
    <main>
      <title>{name}</title>
      <h1>{name}</h1>
      <button type="button" onClick={book}>
        Book it
      </button>
      <TrackOnView<Events> key={id} event="Offer Shown" properties={{ id }} style={{ marginTop: '200vh' }}>
        {price} euros
      </TrackOnView>
    </main>
  );
}
