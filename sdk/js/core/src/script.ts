/** For script tags: the client of the tag's attributes becomes `window.trackmate`, and makes up for what a stub took. */
import type { Options, Trackmate } from './api.js';
import { createTrackmate } from './index.js';
import { guarded, scope } from './scope.js';

type Call = [method: keyof Trackmate, values: ArrayLike<unknown>];

guarded(() => {
  const script: HTMLScriptElement = scope.document.currentScript;
  const given: DOMStringMap = script.dataset;
  const { pages, cookieless } = given;
  const client = createTrackmate(
    Object.assign({ endpoint: new URL(script.src).origin }, given, {
      pages: pages === 'hash' ? pages : pages !== 'false',
      cookieless: !!cookieless && cookieless !== 'false',
    }) as unknown as Options,
  );
  const stub: { q?: Call[] } = scope.trackmate || {};
  const calls = stub.q || [];
  scope.trackmate = Object.assign(stub, client); // whoever holds the stub holds the client now
  delete stub.q;
  for (const [method, values] of calls)
    (client[method] as (...values: never) => unknown).apply(client, values as never);
})();
