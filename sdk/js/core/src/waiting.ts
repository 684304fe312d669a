/** How long to wait before the next attempt. Pure. */

const FIRST_MS = 1000;
const LONGEST_MS = 5 * 60_000;
const LONGEST_ASKED_MS = 3_600_000;

/** After so many failures in a row: anything up to a bound that doubles, so that clients part ways. */
export const backoff = (failures: number, chance: number): number =>
  chance * Math.min(LONGEST_MS, FIRST_MS * 2 ** (failures - 1));

/** Of `Retry-After` (RFC 9110 10.2.3), seconds or an HTTP-date, in milliseconds; 0 where it says nothing. */
export const retryAfter = (value: string | null | undefined, now: number): number => {
  const text = value as string; // null and undefined are read as words, which say nothing
  const asked = /^\d+$/.test(text) ? +text * 1000 : Date.parse(text) - now;
  return Math.min(LONGEST_ASKED_MS, Math.max(0, asked || 0));
};
