// Sends events to Trackmate. The document hears of each as "trackmate": its body and what became of it.
(() => {
  const { key, endpoint } = document.currentScript.dataset;
  const url = `${endpoint}/v1/events?key=${encodeURIComponent(key)}`;
  const TRIES = 8;
  let userId;
  let visibleSince = document.hidden ? null : Date.now();

  function anonymousId() {
    try {
      return (localStorage['trackmate.anonymousId'] ??= crypto.randomUUID());
    } catch {
      return (anonymousId.unstored ??= crypto.randomUUID());  // storage may be forbidden
    }
  }

  function toBody(type, fields) {
    const page = { url: location.href, title: document.title, referrer: document.referrer };
    const ids = { messageId: crypto.randomUUID(), anonymousId: anonymousId(), userId };
    return JSON.stringify({ ...ids, type, ...fields, timestamp: new Date(), context: { page } });
  }

  const tell = (body, state) =>
    document.dispatchEvent(new CustomEvent('trackmate', { detail: { body, state } }));

  function waitMs(attempt, retryAfter) {
    const asked = retryAfter * 1000 || Date.parse(retryAfter) - Date.now();  // seconds, or a date
    return asked > 0 ? asked : Math.random() * 1000 * Math.min(60, 2 ** attempt);
  }

  // Repeats the same body: its messageId makes that safe.
  async function send(body, attempt = 1) {
    tell(body, 'sending');
    const how = { method: 'POST', keepalive: true, headers: { 'Content-Type': 'text/plain' }, body };
    const answer = await fetch(url, how).catch(() => null);  // null where nobody answered
    if (answer?.ok) return tell(body, 'stored');
    if (answer && ![429, 503].includes(answer.status)) return tell(body, `refused: ${answer.status}`);
    if (attempt === TRIES) return tell(body, 'given up');
    tell(body, 'waiting to send again');
    setTimeout(() => send(body, attempt + 1), waitMs(attempt, answer?.headers.get('Retry-After')));
  }

  function leave() {
    if (visibleSince === null) return;  // told already: a page is hidden before it goes
    const dwellMs = Date.now() - visibleSince;
    const body = toBody('track', { event: 'Page Left', properties: { dwellMs } });
    visibleSince = null;
    navigator.sendBeacon(url, body) ? tell(body, 'handed to the browser') : send(body);
  }
  const comeBack = () => { visibleSince ??= document.hidden ? null : Date.now(); };
  addEventListener('pagehide', leave);
  addEventListener('pageshow', comeBack);
  document.addEventListener('visibilitychange', () => (document.hidden ? leave() : comeBack()));

  window.trackmate = {
    track: (event, properties = {}) => send(toBody('track', { event, properties })),
    page: (properties = {}) => send(toBody('page', { properties })),
    identify: (id, traits = {}) => { userId = id; send(toBody('identify', { traits })); },
  };
})();
