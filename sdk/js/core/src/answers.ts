/**
 * What an answer means for the events of its request. Pure.
 *
 * Only Trackmate's own answers end an event's life: a 200 that says `stored`, or a problem document
 * (RFC 9457). Whatever else comes, a proxy, a captive portal or a wrong address speaks, and the events
 * wait.
 */
import type { Problem } from './api.js';
import { guarded } from './scope.js';

export interface Reply {
  _status: number;
  _type?: string | null;
  _text: string;
}

/** `stored`: done · `retry`: the same again, later · `pause`: nothing passes · `halve`: fewer at once · `drop`: these are refused. */
export type Verdict = 'stored' | 'retry' | 'pause' | 'halve' | 'drop';

const parsed = (text: string): Partial<Problem> => Object(guarded(JSON.parse)(text));

const problemOf = ({ _type, _text }: Reply): Problem | undefined => {
  const said = /^application\/problem\+json/i.test(_type || '') && parsed(_text);
  return said && /^urn:trackmate:problem:/.test(said.type as string) ? (said as Problem) : undefined;
};

/** Of a request with `count` events: what follows, which events it means (from 0), and why. */
export const judge = (reply: Reply, count: number): { _verdict: Verdict; _only?: number; _problem?: Problem } => {
  const status = reply._status;
  if (status === 200 && (parsed(reply._text) as { status?: unknown }).status === 'stored') {
    return { _verdict: 'stored' };
  }
  const _problem = problemOf(reply);
  const tooLarge = status === 413;
  if (!_problem) return { _verdict: tooLarge && count > 1 ? 'halve' : 'retry' };
  if (status === 401 || status === 403 || status === 421) return { _verdict: 'pause', _problem };
  if (status < 400 || status >= 500 || status === 408 || status === 429) return { _verdict: 'retry', _problem };
  if (tooLarge || status === 400) {
    const only = _problem.event as number;
    if (only >= 0 && only < count && Number.isInteger(only)) return { _verdict: 'drop', _only: only, _problem };
    if (count > 1) return { _verdict: 'halve', _problem };
  }
  return { _verdict: 'drop', _problem };
};
