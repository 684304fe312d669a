/** The affiliate's browser key (`trackmate keys list acme`), and where its ingest is. */
export const environment = {
  trackmate: { key: 'tmw_your-key', endpoint: 'https://acme.track.example.com' },
};
