/** Where there is no page: a client that does nothing, so that shared code may call it. */
import type { AnyEvents, Consent, EventMap, Options, Trackmate } from './api.js';

export type * from './api.js';

export function createTrackmate<Events extends EventMap = AnyEvents>(options: Options): Trackmate<Events> {
  let consent: Consent = options.consent || 'granted';
  const nothing = (): void => {};
  return {
    track: nothing,
    page: nothing,
    identify: nothing,
    group: nothing,
    alias: nothing,
    reset: nothing,
    flush: () => Promise.resolve(true),
    consent(decided) {
      consent = decided || consent;
      return consent;
    },
  };
}
