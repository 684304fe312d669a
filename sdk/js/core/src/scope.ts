/**
 * The global object of a page or a worker, and the few things of it that must not throw.
 *
 * Timers are the browser's own even where zone.js wraps them, because each wrapped one makes Angular
 * look at the whole page.
 */

// biome-ignore lint/suspicious/noExplicitAny: whatever the page made of its global object
export const scope: any = typeof self === 'undefined' ? globalThis : self;

// biome-ignore lint/suspicious/noExplicitAny: stands for any function
type Function = (...args: any[]) => any;

/** The function, which no longer throws: a fault of ours must not become one of the page. */
export const guarded =
  <F extends Function>(run: F): ((...args: Parameters<F>) => ReturnType<F> | undefined) =>
  (...args) => {
    try {
      return run(...args);
    } catch {
      return undefined;
    }
  };

const native = (name: string): Function => scope[`__zone_symbol__${name}`] || scope[name];

/** Runs it once, after `ms`. */
export const later = (ms: number, run: () => void): number => native('setTimeout').call(scope, guarded(run), ms);

export const cancel = (timer: number | undefined): void => native('clearTimeout').call(scope, timer);

export const listen = (target: EventTarget | undefined, names: string, run: (event: Event) => void): void => {
  if (target) for (const name of names.split(' ')) target.addEventListener(name, guarded(run));
};
