/** Events from web pages to Trackmate. */
import type { AnyEvents, EventMap, Options, Trackmate } from './api.js';
import { createClient } from './client.js';
import { scope } from './scope.js';

export type * from './api.js';

/** On the page's own object, since two bundles on one page may each hold a copy of this module. */
const CLIENTS = Symbol.for('trackmate');

/** The client of a key; made at the first call for it. */
export function createTrackmate<Events extends EventMap = AnyEvents>(options: Options): Trackmate<Events> {
  if (!scope[CLIENTS]) scope[CLIENTS] = {};
  const clients: Record<string, Trackmate> = scope[CLIENTS];
  const { key } = options;
  if (!clients[key]) clients[key] = createClient(options);
  return clients[key] as unknown as Trackmate<Events>;
}
