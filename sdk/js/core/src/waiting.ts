/** How long to wait before the next attempt. Pure. */
import { ASKED_LONGEST_MS, BACKOFF_FIRST_MS, BACKOFF_LONGEST_MS } from './limits.js';

/** After so many failures in a row: anything up to a bound that doubles, so that clients part ways. */
export const backoff = (failures: number, chance: number): number =>
  chance * Math.min(BACKOFF_LONGEST_MS, BACKOFF_FIRST_MS * 2 ** (failures - 1));

/** Of `Retry-After` (RFC 9110 10.2.3), seconds or an HTTP-date, in milliseconds; 0 where it says nothing. */
export const retryAfter = (value: string | null | undefined, now: number): number => {
  const text = value as string; // null and undefined are read as words, which say nothing
  const asked = /^\d+$/.test(text) ? +text * 1000 : Date.parse(text) - now;
  return Math.min(ASKED_LONGEST_MS, Math.max(0, asked || 0));
};
