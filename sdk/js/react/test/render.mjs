/** Renders all that there is to a string, tracks meanwhile, and says whether anything is left unsent. */
import { TrackmateProvider, TrackOnView, useTrackEvent, useTrackmate } from '@trackmate/react';
import { createElement } from 'react';
import { renderToString } from 'react-dom/server';

const [endpoint, key] = process.argv.slice(2);
let client;

const Offer = () => {
  client = useTrackmate();
  useTrackEvent('Offer Booked')();
  client.track('Offer Rendered');
  return createElement(
    'main',
    null,
    createElement(TrackOnView, { event: 'Offer Shown', properties: { id: 'porto' } }, 'Porto'),
  );
};

process.stdout.write(
  renderToString(createElement(TrackmateProvider, { options: { key, endpoint } }, createElement(Offer))),
);
console.log(await client.flush());
