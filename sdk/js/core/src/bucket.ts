/** A token bucket: 20 events a second after a burst of 200, so that a loop of the page's hurts only itself. */

const RATE = 20; // a second
const BURST = 200;

/** Whether one more event may pass; `now` is in milliseconds and never goes back. */
export const createBucket = (now: () => number): (() => boolean) => {
  let tokens = BURST;
  let last = now();
  return () => {
    const at = now();
    tokens = Math.min(BURST, tokens + ((at - last) / 1000) * RATE);
    last = at;
    if (tokens < 1) return false;
    tokens--;
    return true;
  };
};
