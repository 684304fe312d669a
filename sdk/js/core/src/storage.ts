/**
 * What is kept on the device. A browser may forbid it, or have no room, at any call; then nothing is
 * kept, and that is all.
 */
import { guarded, scope } from './scope.js';

export interface Kept {
  _get(name: string): string | null | undefined;
  /** Whether it is kept. */
  _set(name: string, value: string): boolean;
  _remove(name: string): void;
  /** The names that begin so. */
  _names(start: string): string[];
}

/** Either store of the page. While `open()` does not hold, nothing is read or written; removing is always allowed. */
export const createStorage = (kind: 'localStorage' | 'sessionStorage', open: () => boolean): Kept => ({
  _get: guarded((name: string) => (open() ? scope[kind].getItem(name) : null)),
  _set: (name, value) =>
    !!guarded(() => {
      if (!open()) return false;
      scope[kind].setItem(name, value);
      return true;
    })(),
  _remove: guarded((name: string) => scope[kind].removeItem(name)),
  _names: (start) => guarded(() => Object.keys(scope[kind]).filter((name) => name.startsWith(start)))() || [],
});

/** An object kept as JSON; in memory too, where it cannot be kept or somebody clears the storage. */
export const createCell = <T extends object>(storage: Kept, name: string) => {
  let memory: string | undefined;
  return {
    _read: (): Partial<T> => Object.assign({}, guarded(JSON.parse)(storage._get(name) || memory || '0')),
    _write(value: Partial<T>): void {
      memory = JSON.stringify(value);
      storage._set(name, memory);
    },
    _forget(): void {
      memory = undefined;
      storage._remove(name);
    },
  };
};
