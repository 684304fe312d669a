/*
The console's side of the server's API: two questions and one stream, on the page's own origin.
*/

const RETRY_MS = [500, 1000, 2000, 4000];

const path = (affiliate, part) => `/api/affiliates/${encodeURIComponent(affiliate)}/${part}`;

async function ask(url) {
  const response = await fetch(url, { headers: { Accept: 'application/json' } });
  if (!response.ok) throw new Error(`${url} answered ${response.status}.`);
  return response.json();
}

export const askAffiliates = () => ask('/api/affiliates');

export const askFigures = (affiliate) => ask(path(affiliate, 'figures'));

/**
 * Hands on every event as it arrives, and opens a lost stream again for as long as it takes.
 * Returns the function that ends it.
 */
export function follow(affiliate, { opened, arrived, skipped, lost }) {
  let source;
  let timer;
  let tries = 0;
  const open = () => {
    source = new EventSource(path(affiliate, 'live'));
    source.addEventListener('open', () => { tries = 0; opened(); });
    source.addEventListener('message', ({ data }) => arrived(JSON.parse(data)));
    source.addEventListener('skipped', ({ data }) => skipped(JSON.parse(data).events));
    source.addEventListener('error', again);  // the browser itself gives up on an error status
  };
  const again = () => {
    source.close();
    lost();
    timer = setTimeout(open, RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]);
    tries += 1;
  };
  open();
  return () => { clearTimeout(timer); source.close(); };
}
