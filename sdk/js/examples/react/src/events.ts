/** The events of this site: whoever misspells one hears of it from the compiler. */
export interface Events {
  'Offer Shown': { id: string };
  'Offer Booked': { id: string; price: number };
}
