/** The numbers of the design. A module without imports, since esbuild then writes them out where they are used. */

// queue: on the device and in memory
export const QUEUE_EVENTS = 1000;
export const QUEUE_BYTES = 512 * 1024;
export const PENDING_EVENTS = 100; // before consent, in memory alone

// a batch, and what may outlive a page: fetch has 64 KiB for all libraries of the page together
export const BATCH_EVENTS = 100;
export const BATCH_BYTES = 59_000;
export const KEEPALIVE_BYTES = 60_000;
export const KEEPALIVE_REQUESTS = 15;

// when it is sent
export const SEND_AFTER_MS = 1000;
export const TIMEOUT_MS = 30_000; // a server that never answers must not stop the queue
export const BACKOFF_FIRST_MS = 1000;
export const BACKOFF_LONGEST_MS = 5 * 60_000;
export const ASKED_LONGEST_MS = 3_600_000; // of Retry-After

// when it is kept
export const WRITE_AFTER_MS = 200;
export const STAMP_EVERY_MS = 30_000;
export const DEAD_AFTER_MS = 120_000; // a hidden tab's timers run once a minute

// how many events a page may have
export const EVENTS_PER_SECOND = 20;
export const EVENTS_AT_ONCE = 200;

// a session
export const SESSION_IDLE_MS = 30 * 60_000;
export const SESSION_LONGEST_MS = 24 * 3_600_000;
