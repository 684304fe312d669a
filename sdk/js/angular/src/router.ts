import { afterNextRender, Injector, inject, NgZone } from '@angular/core';
import { NavigationEnd, Router } from '@angular/router';
import type { Options, Trackmate } from '@trackmate/core';
import type { TrackmateFeature } from './provide';

/** Page views are the router's navigations: one for each address at which one ends. */
export function withRouter(): TrackmateFeature {
  return { options: { pages: false }, start: follow };
}

const follow = (trackmate: Trackmate, { pages }: Options): void => {
  if (pages === false) return;
  const router = inject(Router);
  const injector = inject(Injector);
  const zone = inject(NgZone);
  let at: string;
  const look = (again?: boolean): void => {
    const address = pages === 'hash' ? router.url : router.url.split('#')[0];
    if (address === at && !again) return;
    at = address;
    trackmate.page();
  };
  // not before Angular has rendered: components set the title meanwhile, or go on to another page
  const lookLater = (): unknown => afterNextRender({ read: () => zone.runOutsideAngular(() => look()) }, { injector });
  router.events.subscribe((event) => event instanceof NavigationEnd && lookLater());
  addEventListener('pageshow', ({ persisted }) => persisted && look(true));
};
