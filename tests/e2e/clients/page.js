// Loads Segment's browser SDK: page.html?key=KEY&instance=URL&batch=SIZE, 0 for one by one.
// The address that events go to is not said here: the SDK asks the instance for it.
const { key, instance, batch } = Object.fromEntries(new URLSearchParams(location.search));
const size = Number(batch);
const batching = { strategy: 'batching', config: { size, timeout: 500 } };
const analytics = AnalyticsNext.AnalyticsBrowser.load(
  { writeKey: key, cdnURL: instance },
  { integrations: size ? { 'Segment.io': { deliveryStrategy: batching } } : {} },
);

/** Makes so many calls; returns their messageIds. */
async function visit(calls) {
  const made = [
    analytics.page('Offers', { season: 'spring' }),
    analytics.identify('u-1', { name: 'Zoë “Z” \u2028 🌍' }),
    analytics.group('g-1', { seats: 3 }),
    analytics.alias('u-2', 'u-1'),
    ...Array.from({ length: calls - 4 }, (_, n) => analytics.track('Offer Viewed', { n, price: 420.5 })),
  ];
  await analytics;  // throws where the SDK could not start, and then no call ever ends
  return (await Promise.all(made)).map(({ event }) => event.messageId);
}
