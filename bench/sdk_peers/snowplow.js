import { newTracker, trackSelfDescribingEvent } from '@snowplow/browser-tracker';

globalThis.begin = (endpoint) => {
  newTracker('sp', endpoint, { appId: 'a' });
  const schema = 'iglu:com.acme/offer_viewed/jsonschema/1-0-0';
  return (data) => trackSelfDescribingEvent({ event: { schema, data } });
};
