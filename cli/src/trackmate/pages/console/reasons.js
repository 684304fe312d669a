/*
Why events were left out, in words. The server's own word stands beside each, for those who search
for it; one that is not listed here stands alone.
*/

const WORDS = {
  filter_error: 'the filter failed on it',
  transform_error: 'the transform failed on it',
  format_error: 'it cannot be written in the format',
  sink_refused: 'the sink refused it and took others',
};
const PLAIN = { filtered: 'left out by the filter', dead: 'put aside' };

/** `term` is the ledger's: filtered or dead. */
export const reasonWords = (term, reason) => (Object.hasOwn(WORDS, reason) ? WORDS[reason] : PLAIN[term] ?? term);
