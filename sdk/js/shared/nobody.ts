/** A client that does nothing: on a server, and where nobody has provided one. */
import type { Trackmate } from '@trackmate/core';

const nothing = (): void => {};

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
