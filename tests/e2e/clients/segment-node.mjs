// Sends events with Segment's Node SDK: node segment-node.mjs HOST KEY EVENTS
// Prints {"ids": each event's messageId, "bodies": each request's body}.
import { Analytics } from '@segment/analytics-node';

const [host, writeKey, events] = process.argv.slice(2);
const analytics = new Analytics({ host, writeKey });
const ids = [];
const bodies = [];

const KINDS = [
  (n) => ['track', { userId: `u-${n}`, event: 'Booking Completed', properties: { total: n / 100 } }],
  (n) => ['identify', { userId: `u-${n}`, traits: { name: 'Zoë “Z” \u2028 🌍', since: new Date(n) } }],
  (n) => ['page', { anonymousId: `a-${n}`, name: 'Offers', properties: { path: '/offers' } }],
  (n) => ['group', { userId: `u-${n}`, groupId: 'g-1', traits: { seats: n } }],
  (n) => ['alias', { userId: `u-${n}`, previousId: `a-${n}` }],
];

function send(n) {
  const [call, fields] = KINDS[n % KINDS.length](n);
  analytics[call](fields, (error, { event }) => {
    if (!error) ids.push(event.messageId);
  });
}

analytics.on('http_request', ({ body }) => bodies.push(body));
analytics.on('error', ({ code, reason }) => {
  console.error(code, reason);
  process.exitCode = 1;
});
for (let n = 0; n < Number(events); n += 1) send(n);
await analytics.closeAndFlush();
console.log(JSON.stringify({ ids, bodies }));
