/** A token bucket: 20 events a second after a burst of 200, so that a loop of the page's hurts only itself. */
import { EVENTS_AT_ONCE, EVENTS_PER_SECOND } from './limits.js';

/** Whether one more event may pass; `now` is in milliseconds and never goes back. */
export const createBucket = (now: () => number): (() => boolean) => {
  let tokens = EVENTS_AT_ONCE;
  let last = now();
  return () => {
    const at = now();
    tokens = Math.min(EVENTS_AT_ONCE, tokens + ((at - last) / 1000) * EVENTS_PER_SECOND);
    last = at;
    return tokens >= 1 && tokens-- > 0;
  };
};
