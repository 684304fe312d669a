/** For Server Components: the components stay the client's, and the hooks do nothing. */
import type { AnyEvents, EventMap, Trackmate } from '@trackmate/core';
import { nobody } from '../../shared/nobody.js';

export { TrackmateProvider, TrackOnView } from './index.js';

export const useTrackmate = <Events extends EventMap = AnyEvents>(): Trackmate<Events> =>
  nobody as unknown as Trackmate<Events>;

export const useTrackEvent = () => (): void => {};
