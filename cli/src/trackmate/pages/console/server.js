/*
The console's side of the server's API: questions, orders and one stream, on the page's own origin.
*/

const RETRY_MS = [500, 1000, 2000, 4000];

const NO_ANSWER = 'The server did not answer. Is trackmate dev still running?';

const path = (affiliate, part) => `/api/affiliates/${encodeURIComponent(affiliate)}/${part}`;

const pipelinePath = ({ affiliate, pipeline }, part) =>
  path(affiliate, `pipelines/${encodeURIComponent(pipeline)}/${part}`);

async function ask(url) {
  const response = await fetch(url, { headers: { Accept: 'application/json' } });
  if (!response.ok) throw new Error(`${url} answered ${response.status}.`);
  return response.json();
}

/** Like `ask` for what people press: it throws a sentence for them. */
async function order(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch {
    throw new Error(NO_ANSWER);
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const { detail } = answer;
  throw new Error(typeof detail === 'string' ? detail : `The server answered ${response.status}.`);
}

const post = (url, body) => order(url, {
  method: 'POST',
  headers: { 'Content-Type': 'application/json', Accept: 'application/json' },
  body: JSON.stringify(body),
});

export const askAffiliates = () => ask('/api/affiliates');

export const askFigures = (affiliate) => ask(path(affiliate, 'figures'));

/** The answer to a question about what happened; it throws a sentence where the server says one. */
export async function askInsight(affiliate, question, asked) {
  const pairs = Object.entries(asked).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  const url = path(affiliate, `insights/${question}?${new URLSearchParams(pairs)}`);
  const response = await fetch(url, { headers: { Accept: 'application/json' } });
  const answer = await response.json();
  if (response.ok) return answer;
  const { detail } = answer;
  throw Object.assign(new Error(typeof detail === 'string' ? detail : `${url} answered ${response.status}.`), { told: true });
}

/** These and the following take {affiliate, pipeline}; they return the pipeline as it is then. */
export const pausePipeline = (of) => post(pipelinePath(of, 'pause'), { reason: 'paused in the console' });

export const resumePipeline = (of) => post(pipelinePath(of, 'resume'), {});

/** Returns {count, letters}: at most `limit` of them, behind the number `after`. */
export const askLetters = (of, { after, limit }) =>
  order(pipelinePath(of, `dead-letters?after=${after}&limit=${limit}`));

/** Sends the letters of these numbers again, all for null. Returns {replay: its id, letters: how many}. */
export const replayLetters = (of, numbers) =>
  post(pipelinePath(of, 'dead-letters/replay'), { letters: numbers });

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
