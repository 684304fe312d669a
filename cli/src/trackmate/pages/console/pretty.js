/*
JSON set out for reading. The tokens stay as they were sent, so a 19-digit number keeps its digits
and a name that comes twice is seen twice; only the space between them is ours.
*/

import { visible } from './bytes.js';
import { element } from './element.js';

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/** Nodes for a JSON text, or null where it is not JSON. */
export function pretty(text) {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  return spaced(text.match(TOKEN));
}

function spaced(tokens) {
  const nodes = [];
  let depth = 0;
  const line = () => nodes.push(`\n${'  '.repeat(depth)}`);
  tokens.forEach((token, index) => {
    const before = tokens[index - 1];
    if (isClose(token)) {
      depth -= 1;
      if (!isOpen(before)) line();
    } else if (before === ',' || isOpen(before)) {
      line();
    }
    nodes.push(coloured(token, { isName: tokens[index + 1] === ':' }), token === ':' ? ' ' : '');
    if (isOpen(token)) depth += 1;
  });
  return nodes;
}

const isOpen = (token) => token === '{' || token === '[';
const isClose = (token) => token === '}' || token === ']';

function coloured(token, { isName }) {
  if ('{}[],:'.includes(token)) return token;
  if (!token.startsWith('"')) return element('span', { class: 'literal' }, token);
  return element('span', { class: isName ? 'name' : 'string' }, ...visible(token));
}
