export const OFFERS = [
  { id: 'lisbon', name: 'Four days in Lisbon', price: 690 },
  { id: 'porto', name: 'A week in Porto', price: 940 },
];
