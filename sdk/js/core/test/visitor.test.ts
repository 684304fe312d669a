import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Kept } from '../src/storage.js';
import { createVisitor } from '../src/visitor.js';

const MINUTE_MS = 60_000;

const kept = (values = new Map<string, string>()): Kept => ({
  _get: (name) => values.get(name),
  _set: (name, value) => !!values.set(name, value),
  _remove: (name) => void values.delete(name),
  _names: () => [...values.keys()],
});

const NOTHING_KEPT: Kept = { _get: () => undefined, _set: () => false, _remove: () => {}, _names: () => [] };

const visit = (storage = kept()) => {
  const clock = { now: 1_000_000 };
  let made = 0;
  return {
    clock,
    tab: () =>
      createVisitor(
        storage,
        'tm:',
        () => clock.now,
        () => `id-${++made}`,
      ),
  };
};

test('a session goes on while there are events, and counts them', () => {
  const { clock, tab } = visit();
  const { _session } = tab();
  const first = _session();
  clock.now += 30 * MINUTE_MS;
  assert.deepEqual(_session(), { id: first.id, seq: 2 });
});

test('a session ends after 30 minutes without an event', () => {
  const { clock, tab } = visit();
  const { _session } = tab();
  const first = _session();
  clock.now += 30 * MINUTE_MS + 1;
  const second = _session();
  assert.notEqual(second.id, first.id);
  assert.equal(second.seq, 1);
});

test('a session ends after 24 hours whatever happens', () => {
  const { clock, tab } = visit();
  const { _session } = tab();
  const { id } = _session();
  for (let n = 0; n < 24 * 3; n++) {
    clock.now += 20 * MINUTE_MS;
    assert.equal(_session().id, id);
  }
  clock.now += 20 * MINUTE_MS;
  assert.notEqual(_session().id, id);
});

test('a clock that goes back ends no session', () => {
  const { clock, tab } = visit();
  const { _session } = tab();
  const { id } = _session();
  clock.now -= 600 * MINUTE_MS;
  assert.equal(_session().id, id);
});

test('tabs share ids and session, and each hears of the other', () => {
  const { tab } = visit();
  const [one, other] = [tab(), tab()];
  assert.equal(one._known().anonymousId, other._known().anonymousId);
  assert.deepEqual(
    [one, other, one].map((tab) => tab._session().seq),
    [1, 2, 3],
  );
  one._set({ userId: 'u' });
  assert.equal(other._known().userId, 'u');
});

test('a logout in one tab is one in all', () => {
  const { tab } = visit();
  const [one, other] = [tab(), tab()];
  const before = other._known().anonymousId;
  other._set({ userId: 'u' });
  const session = other._session().id;

  one._renew();

  assert.equal(other._known().userId, undefined);
  assert.notEqual(other._known().anonymousId, before);
  assert.notEqual(other._session().id, session);
});

test('where nothing can be kept, ids and session live as long as the page', () => {
  const { tab } = visit(NOTHING_KEPT);
  const visitor = tab();
  assert.equal(visitor._known().anonymousId, visitor._known().anonymousId);
  assert.deepEqual([visitor._session().seq, visitor._session().seq], [1, 2]);
});

test('what others wrote under our names is no reason to stop', () => {
  for (const value of ['{', '7', 'null', '"text"', '[]']) {
    const { tab } = visit(
      kept(
        new Map([
          ['tm:i', value],
          ['tm:s', value],
        ]),
      ),
    );
    const visitor = tab();
    assert.ok(visitor._known().anonymousId);
    assert.equal(visitor._session().seq, 1);
  }
});
