import { createTrackmate } from '@trackmate/core';

globalThis.begin = (endpoint) => {
  const trackmate = createTrackmate({ key: 'k', endpoint, pages: false });
  return (properties) => trackmate.track('Offer Viewed', properties);
};
