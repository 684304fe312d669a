/**
 * Page views of a page that changes its address without loading: after each call that may have
 * changed it, and never twice for one address.
 */
import { guarded, later, listen, scope } from './scope.js';

/** `viewed` hears of each view, where there are listeners to be; the result tells of the page that is open. */
export const createPages = (mode: boolean | 'hash', viewed: () => void) => {
  const { document, history, location } = scope;
  let href: string = document.referrer; // of what was viewed last
  let referrer = href;
  let at: string;

  const look = (again?: boolean): void => {
    // a task later: frameworks set the title meanwhile, and routers replace before they push
    later(0, () => {
      const now = location.pathname + location.search + (mode === 'hash' ? location.hash : '');
      if (now === at && !again) return;
      if (now !== at) referrer = href;
      at = now;
      href = location.href;
      viewed();
    });
  };

  if (mode) {
    for (const name of ['pushState', 'replaceState']) {
      const original = history[name];
      history[name] = function (this: unknown, ...args: unknown[]) {
        const result = original.apply(this, args);
        guarded(look)();
        return result;
      };
    }
    listen(scope, 'popstate hashchange', () => look());
    listen(scope, 'pageshow', (event) => (event as PageTransitionEvent).persisted && look(true));
    look();
  }

  return () => ({
    url: location.href,
    path: location.pathname,
    search: location.search,
    title: document.title,
    referrer,
  });
};
