/** Renders a Server Component with React's own loader, and prints what goes to the browser. */
import { register } from 'node:module';

// React's loader wants a text where Node has bytes
const text = `export const load = async (url, context, next) => {
  const loaded = await next(url, context);
  return loaded.format === 'module' ? { ...loaded, source: String(loaded.source) } : loaded;
};`;
register(`data:text/javascript,${encodeURIComponent(text)}`);
register('react-server-dom-webpack/node-loader', import.meta.url);
const { renderToPipeableStream } = await import('react-server-dom-webpack/server.node');
const { createElement } = await import('react');
const { TrackmateProvider, TrackOnView, useTrackmate } = await import('@trackmate/react');

const Layout = () => {
  useTrackmate().track('Layout Rendered');
  return createElement(
    TrackmateProvider,
    { options: { key: 'tmw_k', endpoint: 'https://acme.example' } },
    createElement(TrackOnView, { event: 'Layout Shown' }, 'Porto'),
  );
};

// what a bundler would know of each module of the browser
const modules = new Proxy({}, { get: (_, id) => ({ id, chunks: [], name: String(id).split('#')[1] }) });
renderToPipeableStream(createElement(Layout), modules).pipe(process.stdout);
