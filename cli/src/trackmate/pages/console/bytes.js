/*
What an event's bytes look like to a person: as text where they are UTF-8, as a hex dump where not,
and with every invisible character made visible. Nothing here changes the bytes.
*/

import { element } from './element.js';

export const fromBase64 = (base64) => Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));

/** The text, or null where the bytes are not UTF-8. A byte order mark is kept. */
export function asText(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** What the event calls itself, or null. */
export function nameOf(text) {
  try {
    const { event, type, name } = JSON.parse(text);
    return [event, type, name].find((one) => typeof one === 'string' && one !== '') ?? null;
  } catch {
    return null;
  }
}

const INVISIBLE = /([\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+)/u;

/** Nodes for a text: invisible characters become marked symbols, and a line feed still ends a line. */
export function visible(text) {
  return text.split(INVISIBLE).map((part, index) => (index % 2 ? marked(part) : part));
}

const marked = (invisible) =>
  element('span', { class: 'invisible' }, [...invisible].map(symbol).join(''));

function symbol(character) {
  const code = character.codePointAt(0);
  if (character === '\n') return '␊\n';
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return '␡';
  return `[U+${code.toString(16).toUpperCase().padStart(4, '0')}]`;
}

const LINE = 16;

export function hexDump(bytes) {
  const lines = [];
  for (let start = 0; start < bytes.length; start += LINE) {
    lines.push(hexLine(bytes.subarray(start, start + LINE), start));
  }
  return lines.join('\n');
}

function hexLine(line, start) {
  const hex = [...line].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  const ascii = [...line].map((byte) => (byte > 0x1f && byte < 0x7f ? String.fromCharCode(byte) : '·'));
  return `${start.toString(16).padStart(8, '0')}  ${hex.padEnd(LINE * 3 - 1)}  ${ascii.join('')}`;
}

/** The SHA-256 of the bytes in hex; null where the browser offers none (plain HTTP off loopback). */
export async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) return null;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
