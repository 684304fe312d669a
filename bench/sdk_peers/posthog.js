import posthog from 'posthog-js';

globalThis.begin = (endpoint) => {
  posthog.init('k', {
    api_host: endpoint,
    autocapture: false,
    capture_pageview: false,
    capture_pageleave: false,
    disable_session_recording: true,
    disable_surveys: true,
    advanced_disable_flags: true,
  });
  return (properties) => posthog.capture('Offer Viewed', properties);
};
