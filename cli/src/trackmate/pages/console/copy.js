/*
Copy buttons. They say aloud that they worked, and where the browser keeps its clipboard shut (plain
HTTP off loopback) they say that instead of pretending.
*/

import { byId, element } from './element.js';

const SHOWN_MS = 1500;

/** A button that copies `text`; `what` completes "Copy …" for those who hear the page. */
export function copyButton(text, { what, label = 'Copy' }) {
  const said = `Copy ${what}`;
  const button = element('button', { type: 'button', class: 'copy', 'aria-label': said }, label);
  button.addEventListener('click', async () => {
    const copied = await copy(text);
    byId('said').textContent = copied ? `Copied ${what}.` : `The browser did not let ${what} be copied.`;
    button.textContent = copied ? 'Copied' : 'Not allowed';
    setTimeout(() => { button.textContent = label; }, SHOWN_MS);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
