/** The events of this site: whoever misspells one hears of it from the compiler. */
export interface Events {
  'Offer Liked': { id: string };
}
