/** What the types allow and what not; checked by tsc, never run. */
import { createTrackmate } from '../src/index.js';

interface Events {
  'Offer Viewed': { id: string; price: number };
  'Search Opened': { from?: string };
  'Signed Out': object;
}

const typed = createTrackmate<Events>({ key: 'k', endpoint: 'https://acme.example' });
typed.track('Offer Viewed', { id: 'a', price: 1 });
typed.track('Search Opened');
typed.track('Search Opened', { from: 'menu' });
typed.track('Signed Out');
// @ts-expect-error its properties are not optional
typed.track('Offer Viewed');
// @ts-expect-error a price is a number
typed.track('Offer Viewed', { id: 'a', price: '1' });
// @ts-expect-error no such event
typed.track('Offer Veiwed', { id: 'a', price: 1 });

const loose = createTrackmate({ key: 'k', endpoint: 'https://acme.example', pages: 'hash', unload: 'drop' });
loose.track('Anything');
loose.track('Anything', { at: 'all' });
loose.identify(7, { plan: 'gold' });
const emptied: Promise<boolean> = loose.flush();
const decided: 'granted' | 'pending' | 'denied' = loose.consent();

export { decided, emptied };
