/*
What the demo shop shows of its own events: it looks on while the SDK sends them. The document hears
of each as "trackmate": its JSON and what became of it.
*/
(() => {
  const real = window.fetch;

  const texts = (body) => JSON.parse(body).map((event) => JSON.stringify(event));

  const tell = (bodies, state) => {
    for (const body of bodies) {
      document.dispatchEvent(new CustomEvent('trackmate', { detail: { body, state } }));
    }
  };

  const became = ({ ok, status }) => {
    if (ok) return 'stored';
    return status < 500 && ![408, 429].includes(status) ? `refused: ${status}` : 'waiting to send again';
  };

  window.fetch = async (address, options) => {
    if (!String(address).includes('/v1/events')) return real.call(window, address, options);
    const bodies = texts(options.body);
    tell(bodies, 'sending');
    try {
      const answer = await real.call(window, address, options);
      tell(bodies, became(answer));
      return answer;
    } catch (fault) {
      tell(bodies, 'waiting to send again');
      throw fault;
    }
  };
})();
