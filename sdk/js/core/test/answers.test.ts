import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { judge } from '../src/answers.js';

const PROBLEM = 'application/problem+json';

const refusal = (status: number, more: object = {}) => ({
  _status: status,
  _type: PROBLEM,
  _text: JSON.stringify({ type: 'urn:trackmate:problem:some', title: '', status, detail: 'why', ...more }),
});

const EVENTS = ['a', 'b', 'c', 'd'];

const verdict = (status: number, more?: object, events = EVENTS) => {
  const { _verdict, _gone } = judge(refusal(status, more), events);
  return _verdict || `drop ${_gone}`;
};

test('a 200 that says stored is done', () => {
  assert.equal(
    judge({ _status: 200, _type: null, _text: '{"status":"stored","events":4}\n' }, EVENTS)._verdict,
    'stored',
  );
});

test('whatever is not of Trackmate never ends an event', () => {
  const texts = fc.oneof(fc.json(), fc.string(), fc.constant('{"status":404}'), fc.constant('{"type":"about:blank"}'));
  const types = fc.constantFrom(null, 'text/html', 'application/json', PROBLEM, `${PROBLEM}; charset=utf-8`);
  fc.assert(
    fc.property(
      fc.integer({ min: 200, max: 599 }),
      types,
      texts,
      fc.integer({ min: 1, max: 4 }),
      (status, type, text, n) => {
        const { _verdict } = judge({ _status: status, _type: type, _text: text }, EVENTS.slice(0, n));
        assert.equal(_verdict, status !== 413 ? 'retry' : n > 1 ? 'halve' : 'hold');
      },
    ),
  );
});

test('the words of a refusal under another type are not a refusal', () => {
  assert.equal(judge({ ...refusal(400), _type: 'application/json' }, ['a'])._verdict, 'retry');
});

test('each refusal of Trackmate has its consequence', () => {
  for (const status of [401, 403, 421]) assert.equal(verdict(status), 'pause');
  for (const status of [408, 429, 500, 502, 503, 504]) assert.equal(verdict(status), 'retry');
  for (const status of [404, 405, 414, 415, 431]) assert.equal(verdict(status), 'drop a,b,c,d');
  for (const status of [400, 413]) {
    assert.equal(verdict(status), 'halve');
    assert.equal(verdict(status, {}, ['a']), 'drop a');
    assert.equal(verdict(status, { event: 2 }), 'drop c');
    assert.equal(verdict(status, { event: 0 }, ['a']), 'drop a');
  }
});

test('an index that the batch does not have says nothing', () => {
  for (const event of [-1, 4, 0.5, '1', null]) assert.equal(verdict(400, { event }), 'halve');
});

test('a refusal comes with its reason', () => {
  assert.equal(judge(refusal(403), ['a'])._problem?.detail, 'why');
});
