/** What the types allow and what not; checked by tsc, never run. */
import { inject } from '@angular/core';
import { provideTrackmate, TrackmateService, withRouter } from '@trackmate/angular';

interface Events {
  'Offer Booked': { id: string };
}

const options = { key: 'k', endpoint: 'https://acme.example' };
export const providers = [provideTrackmate(options), provideTrackmate({ ...options, pages: 'hash' }, withRouter())];
// @ts-expect-error an endpoint is needed
provideTrackmate({ key: 'k' });

inject(TrackmateService).track('Anything', { at: 'all' });
const { track } = inject<TrackmateService<Events>>(TrackmateService);
track('Offer Booked', { id: 'a' });
// @ts-expect-error no such event
track('Offer Boked', { id: 'a' });
