// Sends events with RudderStack's Node SDK: node rudder-node.mjs HOST KEY EVENTS [plain]
// Its bodies are gzipped, as it does by default, unless `plain` is said.
// Prints {"ids": each event's messageId, "bodies": each request's body, unpacked}.
import { gunzipSync } from 'node:zlib';
import RudderAnalytics from '@rudderstack/rudder-sdk-node';

const [dataPlaneUrl, writeKey, events, packing] = process.argv.slice(2);
const gzip = packing !== 'plain';
const analytics = new RudderAnalytics(writeKey, {
  dataPlaneUrl, gzip, flushInterval: 100, logLevel: 'none', errorHandler: () => {},
});
const bodies = new Set();

const KINDS = [
  (n) => ['track', { userId: `u-${n}`, event: 'Booking Completed', properties: { total: n / 100 } }],
  (n) => ['identify', { userId: `u-${n}`, traits: { name: 'Zoë “Z” \u2028 🌍' } }],
  (n) => ['page', { anonymousId: `a-${n}`, name: 'Offers', properties: { path: '/offers' } }],
  (n) => ['screen', { anonymousId: `a-${n}`, name: 'Offers' }],
  (n) => ['group', { userId: `u-${n}`, groupId: 'g-1', traits: { seats: n } }],
  (n) => ['alias', { userId: `u-${n}`, previousId: `a-${n}` }],
];

const send = (n) => new Promise((sent, failed) => {
  const [call, fields] = KINDS[n % KINDS.length](n);
  analytics[call](fields, (error, data) => {
    if (error) return failed(error.message);
    bodies.add(gzip ? gunzipSync(data).toString() : JSON.stringify(data));
    return sent();
  });
});

await Promise.all(Array.from({ length: Number(events) }, (_, n) => send(n)));
const ids = [...bodies].flatMap((body) => JSON.parse(body).batch.map(({ messageId }) => messageId));
console.log(JSON.stringify({ ids, bodies: [...bodies] }));
