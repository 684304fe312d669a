/** UUIDv7 (RFC 9562 5.7) whose text grows with each id, whatever the clock does (6.2, method 1). */

/** Fills the bytes with chance. */
export type Randomize = (bytes: Uint8Array) => void;

const HIGHEST = 0xfff; // of the 12 bits that count within a millisecond

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');

/** A maker of ids; `now` is in milliseconds of the Unix epoch. */
export const createIds = (now: () => number, randomize: Randomize): (() => string) => {
  let last = 0;
  let counter = 0;
  return () => {
    const bytes = new Uint8Array(10);
    randomize(bytes);
    const ms = now();
    if (ms > last) {
      last = ms;
      counter = ((bytes[8] & 7) << 8) | bytes[9]; // the highest bit stays free to count into
    } else if (++counter > HIGHEST) {
      last++;
      counter = 0;
    }
    const time = hex(last, 12);
    let tail = hex((bytes[0] & 0x3f) | 0x80, 2);
    for (let n = 1; n < 8; n++) tail += hex(bytes[n], 2);
    return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(counter, 3)}-${tail.slice(0, 4)}-${tail.slice(4)}`;
  };
};
