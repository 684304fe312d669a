import mixpanel from 'mixpanel-browser';

globalThis.begin = (endpoint) => {
  mixpanel.init('k', { api_host: endpoint, persistence: 'localStorage' });
  return (properties) => mixpanel.track('Offer Viewed', properties);
};
