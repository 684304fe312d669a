import { Injectable } from '@angular/core';
import type { AnyEvents, EventMap, Trackmate } from '@trackmate/core';

const nothing = (): void => {};

/** A client that does nothing: on a server, and where nobody has provided one. */
export const nobody: Trackmate = {
  track: nothing,
  page: nothing,
  identify: nothing,
  group: nothing,
  alias: nothing,
  reset: nothing,
  flush: () => Promise.resolve(true),
  consent: (decided) => decided || 'denied',
};

/** The client, to inject; without `provideTrackmate` one that does nothing. */
@Injectable({ providedIn: 'root', useFactory: () => nobody })
export abstract class TrackmateService<Events extends EventMap = AnyEvents> implements Trackmate<Events> {
  abstract track: Trackmate<Events>['track'];
  abstract page: Trackmate['page'];
  abstract identify: Trackmate['identify'];
  abstract group: Trackmate['group'];
  abstract alias: Trackmate['alias'];
  abstract reset: Trackmate['reset'];
  abstract flush: Trackmate['flush'];
  abstract consent: Trackmate['consent'];
}
