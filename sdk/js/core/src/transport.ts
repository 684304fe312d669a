/**
 * One request to ingest, without a CORS preflight: a string as the body is text/plain, and everything
 * else stands in the address.
 *
 * `keepalive` lets a request outlive its page. All that is in flight so, of every library of the page,
 * may have 64 KiB together (fetch 4.6, HTTP-network-or-cache fetch), so ours has a budget below that.
 */

import type { Reply } from './answers.js';
import { KEEPALIVE_BYTES, KEEPALIVE_REQUESTS, TIMEOUT_MS } from './limits.js';
import { cancel, later, scope } from './scope.js';

let bytesInFlight = 0;
let requestsInFlight = 0;

/** Whether so many bytes may outlive the page now. */
export const fits = (bytes: number): boolean =>
  requestsInFlight < KEEPALIVE_REQUESTS && bytesInFlight + bytes <= KEEPALIVE_BYTES;

export interface Answered extends Reply {
  _retryAfter?: string | null;
}

/** The answer; rejects where there is none. */
export const post = async (url: string, body: string, bytes: number, keepalive: boolean): Promise<Answered> => {
  if (!scope.fetch) return beacon(url, body);
  const abort = scope.AbortController ? new AbortController() : ({} as AbortController);
  const timer = later(TIMEOUT_MS, () => abort.abort());
  const held = keepalive ? bytes : 0;
  bytesInFlight += held;
  requestsInFlight += +keepalive;
  try {
    const response: Response = await scope.fetch(url, {
      method: 'POST',
      body,
      keepalive,
      credentials: 'omit',
      signal: abort.signal,
    });
    const { status, headers } = response;
    return {
      _status: status,
      _type: headers.get('content-type'),
      _retryAfter: headers.get('retry-after'),
      _text: await response.text(),
    };
  } finally {
    cancel(timer);
    bytesInFlight -= held;
    requestsInFlight -= +keepalive;
  }
};

/** Where there is no fetch. What the browser took is as good as stored: it never tells. */
const beacon = (url: string, body: string): Answered => {
  if (!scope.navigator.sendBeacon(url, body)) throw 0;
  return { _status: 200, _text: '{"status":"stored"}' };
};
