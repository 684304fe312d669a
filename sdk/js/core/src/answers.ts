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

/** `stored`: done · `retry`: the same again, later · `pause`: nothing passes · `halve`: fewer at once · `hold`: one alone is too large for the way there. */
export type Verdict = 'stored' | 'retry' | 'pause' | 'halve' | 'hold';

const parsed = (text: string): Partial<Problem> => Object(guarded(JSON.parse)(text));

const problemOf = ({ _type, _text }: Reply): Problem | undefined => {
  const said = /^application\/problem\+json/i.test(_type || '') && parsed(_text);
  return said && /^urn:trackmate:problem:/.test(said.type as string) ? (said as Problem) : undefined;
};

interface Judged<Event> {
  /** Of all; none where some are refused. */
  _verdict?: Verdict;
  /** The events that are refused. */
  _gone?: Event[];
  _problem?: Problem;
}

/** Of a request with these events: what follows, and why. */
export const judge = <Event>(reply: Reply, events: Event[]): Judged<Event> => {
  const status = reply._status;
  if (status === 200 && (parsed(reply._text) as { status?: unknown }).status === 'stored') {
    return { _verdict: 'stored' };
  }
  const _problem = problemOf(reply);
  const tooLarge = status === 413;
  const several = events.length > 1;
  if (!_problem) return { _verdict: !tooLarge ? 'retry' : several ? 'halve' : 'hold' };
  if (status === 401 || status === 403 || status === 421) return { _verdict: 'pause', _problem };
  if (status < 400 || status >= 500 || status === 408 || status === 429) return { _verdict: 'retry', _problem };
  if (tooLarge || status === 400) {
    const named = Number.isInteger(_problem.event) && events[_problem.event as number];
    if (named) return { _gone: [named], _problem };
    if (several) return { _verdict: 'halve', _problem };
  }
  return { _gone: events, _problem };
};
