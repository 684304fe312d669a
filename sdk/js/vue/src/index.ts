/** Trackmate in Vue: a plugin that provides the client, a directive, and page views by the router. */
import {
  type AnyEvents,
  createTrackmate as createClient,
  type EventMap,
  type Options,
  type Properties,
  type Trackmate,
} from '@trackmate/core';
import { type App, type InjectionKey, inject, type ObjectDirective } from 'vue';
import { nobody } from '../../shared/nobody.js';

interface Route {
  name?: unknown;
  fullPath: string;
}

/** What is asked of a router; that of vue-router 4 and 5 is one. */
export interface RouterLike {
  currentRoute: { value: Route };
  isReady(): Promise<unknown>;
  afterEach(guard: (to: Route, from: Route, failure?: unknown) => void): unknown;
}

export interface TrackmateOptions extends Options {
  /** Page views are the router's navigations then, under the names of its routes. */
  router?: RouterLike;
}

/** An event's name, or its name and properties. */
export type Tracked = string | { event: string; properties?: Properties };

export type TrackDirective = ObjectDirective<HTMLElement, Tracked>;

declare module 'vue' {
  interface GlobalDirectives {
    vTrack: TrackDirective;
  }
}

const KEY: InjectionKey<Trackmate> = Symbol.for('trackmate.vue') as InjectionKey<Trackmate>;

/** `app.use(createTrackmate({ key, endpoint, router }))`. */
export function createTrackmate({ router, ...options }: TrackmateOptions) {
  return {
    install(app: App): void {
      const here = typeof document !== 'undefined';
      const pages = router ? false : options.pages;
      const trackmate = here ? createClient({ ...options, pages }) : nobody;
      if (here && router && options.pages !== false) follow(router, trackmate, options.pages === 'hash');
      app.provide(KEY, trackmate).directive('track', directive(trackmate));
    },
  };
}

/** The client of the app; without the plugin, a client that does nothing. */
export const useTrackmate = <Events extends EventMap = AnyEvents>(): Trackmate<Events> =>
  inject(KEY, nobody) as unknown as Trackmate<Events>;

/** A page view for each address at which a navigation arrives. */
const follow = (router: RouterLike, trackmate: Trackmate, hash: boolean): void => {
  let at: string;
  const look = (again?: boolean): void => {
    // a task later: components and other guards set the title meanwhile, or go on to another page
    setTimeout(() => {
      const { name, fullPath } = router.currentRoute.value;
      const address = hash ? fullPath : fullPath.split('#')[0];
      if (address === at && !again) return;
      at = address;
      trackmate.page(name == null ? undefined : String(name));
    });
  };
  router.afterEach((_to, _from, failure) => {
    if (!failure) look();
  });
  router.isReady().then(
    () => look(), // where the first navigation was over before
    () => {},
  );
  addEventListener('pageshow', ({ persisted }) => persisted && look(true));
};

const directive = (trackmate: Trackmate): TrackDirective => {
  const tracked = new WeakMap<HTMLElement, Tracked>();
  return {
    mounted(element, { arg, value }) {
      tracked.set(element, value);
      element.addEventListener(arg || 'click', () => {
        const now = tracked.get(element);
        if (typeof now === 'string') trackmate.track(now);
        else if (now) trackmate.track(now.event, now.properties);
      });
    },
    updated(element, { value }) {
      tracked.set(element, value);
    },
    getSSRProps: () => ({}),
  };
};
