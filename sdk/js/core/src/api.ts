/** What a page sees of Trackmate: every type that is public, and nothing that runs. */

/** Whether the visitor allows events: `pending` keeps them in memory, unsent, until it is decided. */
export type Consent = 'granted' | 'pending' | 'denied';

/** What goes with an event: anything that JSON has. */
export type Properties = Record<string, unknown>;

/** The events of a site, by name: `{ 'Offer Viewed': { id: string; price: number } }`. */
export type EventMap = object;

/** Any event, with any properties: what `createTrackmate` takes without a type of your own. */
export type AnyEvents = Record<string, Properties>;

/** RFC 9457, as Trackmate refuses a request. */
export interface Problem {
  /** `urn:trackmate:problem:` and its kind, as docs/http.md lists them. */
  type: string;
  title: string;
  status: number;
  detail: string;
  /** Which event of the request, from 0. */
  event?: number;
}

/** Events that are lost, and why. */
export interface Drop {
  /**
   * `queue`: over 1,000 events or 512 KB waited, the oldest went · `rate`: more than 20 a second
   * after a burst of 200 · `size`: one event over 512 KB · `invalid`: not JSON (a cycle, a BigInt) ·
   * `refused`: Trackmate itself refused it, as `problem` says.
   */
  reason: 'queue' | 'rate' | 'size' | 'invalid' | 'refused';
  count: number;
  /** Their JSON texts, where there were any. */
  events: readonly string[];
  problem?: Problem;
}

export interface Options {
  /** The browser key of the affiliate. A second client for the same key is the first one. */
  key: string;
  /** Where ingest is: `https://acme.track.example.com`. */
  endpoint: string;
  /** The stream that events go to; the affiliate's first one without it. */
  stream?: string;
  /**
   * Page views by themselves: at the start, when the URL's path or query changes, and when the page
   * comes back from the back/forward cache. `'hash'` counts a change of the fragment too. Default: true.
   */
  pages?: boolean | 'hash';
  /** Before the visitor has decided. Default: `granted`. */
  consent?: Consent;
  /** Keep nothing on the device: ids last as long as the page, and so do unsent events. */
  cookieless?: boolean;
  /** `deny` reads Global Privacy Control as consent `denied`, until `consent('granted')`. Default: `ignore`. */
  gpc?: 'ignore' | 'deny';
  /** The same for Do Not Track. */
  dnt?: 'ignore' | 'deny';
  /**
   * What is sent while the page goes: `keep` keeps it until it is acknowledged, so that the next page
   * may send it again under the same id; `drop` takes it as sent. Default: `keep`.
   */
  unload?: 'keep' | 'drop';
  /** Hears of every lost event. */
  onDrop?: (drop: Drop) => void;
  /** Hears that key, origin or host are refused. Events wait for `flush()` or the next page. */
  onPause?: (problem: Problem) => void;
}

type PropertiesOf<Events, Name extends keyof Events> =
  Record<string, never> extends Events[Name] ? [properties?: Events[Name]] : [properties: Events[Name]];

/** A client. Its methods never throw, and need no `this`. */
export interface Trackmate<Events extends EventMap = AnyEvents> {
  /** Something happened. */
  track<Name extends keyof Events & string>(event: Name, ...properties: PropertiesOf<Events, Name>): void;
  /** A page was viewed; not needed where `pages` does it. */
  page(name?: string, properties?: Properties): void;
  /** Who the visitor is, from now on. */
  identify(userId: string | number, traits?: Properties): void;
  /** What the visitor belongs to, from now on. */
  group(groupId: string | number, traits?: Properties): void;
  /** Another id of the same visitor; `previousId` is the present id without one. */
  alias(userId: string | number, previousId?: string | number): void;
  /** Forgets who the visitor is (a logout). Unsent events are kept. */
  reset(): void;
  /** Sends what waits, now. True when nothing is left unsent. Never rejects. */
  flush(): Promise<boolean>;
  /** Says what the visitor decided, where given, and returns what is in force. */
  consent(decided?: Consent): Consent;
}
