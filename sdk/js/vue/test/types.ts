/** What the types allow and what not; checked by tsc, never run. */
import { createTrackmate, type TrackDirective, useTrackmate } from '@trackmate/vue';
import { createApp, type GlobalDirectives } from 'vue';
import type { Router } from 'vue-router';
import type { Router as Router4 } from 'vue-router-4';

interface Events {
  'Offer Booked': { id: string };
}

declare const routers: [Router, Router4];
const options = { key: 'k', endpoint: 'https://acme.example' };
createApp({})
  .use(createTrackmate(options))
  .use(createTrackmate({ ...options, router: routers[0], pages: 'hash' }))
  .use(createTrackmate({ ...options, router: routers[1] }));
// @ts-expect-error a key is needed
createTrackmate({ endpoint: 'https://acme.example' });

const { track } = useTrackmate<Events>();
track('Offer Booked', { id: 'a' });
// @ts-expect-error no such event
track('Offer Boked', { id: 'a' });

export const directive: TrackDirective = {} as GlobalDirectives['vTrack'];
