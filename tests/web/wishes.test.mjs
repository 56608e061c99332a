// Feeds to choose from and what a viewer says of themes and creators, as the device itself heeds them.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { Person } from '../../web/src/lib/person.js'
import { Store, memory } from '../../web/src/lib/store.js'
import { badge, itemIn, part, whyNot } from '../../web/src/lib/words.js'
import { asking, banned, instead, lean, narrow, saidOf, told } from '../../web/src/lib/wishes.js'

const items = [
  { item: 'a', creator: 'kim', tags: ['tide', 'moss'] }, { item: 'b', creator: 'lea', tags: ['ember'] },
  { item: 'c', creator: 'kim', tags: ['ember'] },
]
const names = (list) => list.map((i) => i.item).join('')

test('the newest word holds, is bounded, and can be taken back', () => {
  let said = told(told({}, 'tag', 'tide', 'more'), 'tag', 'tide', 'never')
  assert.equal(saidOf(said, 'tag', 'tide'), 'never')
  assert.deepEqual(told(said, 'tag', 'tide', 'learned'), {})
  for (let i = 0; i < 400; i += 1) said = told(said, 'tag', `t${i}`, 'less')
  assert.equal(Object.keys(said).length, 300)
  assert.equal(saidOf(said, 'tag', 't399'), 'less')
})

test('never is never: by theme, by creator, on any list', () => {
  const said = told(told({}, 'tag', 'moss', 'never'), 'creator', 'lea', 'never')
  assert.equal(names(items.filter((i) => banned(i, said))), 'ab')
  for (const feed of ['for_you', 'plain', 'following', 'topic']) {
    assert.equal(names(narrow(items, { feed, topic: 'moss' }, said, ['lea']).items), 'c', feed)
  }
})

test('a list is narrowed to the feed asked for, and says so when nothing fits', () => {
  assert.deepEqual(narrow(items, { feed: 'following', topic: '' }, {}, ['lea']), { items: [items[1]], feed: 'following' })
  assert.equal(names(narrow(items, { feed: 'topic', topic: 'ember' }, {}, []).items), 'bc')
  const none = narrow(items, { feed: 'following', topic: '' }, {}, [])
  assert.equal(none.items.length, 3)
  assert.match(instead({ feed: 'following', topic: '' }, none.feed), /Nobody you follow.*For You/)
  assert.match(instead({ feed: 'topic', topic: 'kelp' }, 'for_you'), /about kelp/)
  assert.equal(instead({ feed: 'plain', topic: '' }, 'plain'), '')
})

test('more and less outweigh a few videos', () => {
  const taste = lean({ tide: 0.5, ember: 1.5 }, told(told({}, 'tag', 'moss', 'more'), 'tag', 'ember', 'less'))
  assert.ok(taste.moss > taste.tide && taste.tide > taste.ember)
})

test('a request names its feed, and nothing when it is For You', () => {
  assert.deepEqual(asking({ feed: 'for_you', topic: '' }), {})
  assert.deepEqual(asking({ feed: 'plain', topic: 'tide' }), { feed: 'plain' })
  assert.deepEqual(asking({ feed: 'topic', topic: 'tide' }), { feed: 'topic', topic: 'tide' })
})

test('a past is forgotten at once, can be taken up for ten minutes, and what was said stays', () => {
  const store = new Store(memory())
  const me = new Person(store, 'US', 1000)
  const item = { item: 'a', creator: 'kim', tags: ['tide'], duration_ms: 6000 }
  me.show(item)
  me.record('view', item, { dwell_ms: 6000 }, 2_000_000, 2000)
  me.tell('tag', 'moss', 'more', 2_000_001)
  me.forget(3_000_000, 3000)
  assert.deepEqual([me.events(3000), me.seen, Object.keys(me.taste())], [[], ['a'], ['moss']])
  assert.deepEqual(me.box.entries.map((e) => e.entry.kind), ['view', 'interest', 'reset'])
  const { before, stamp } = me.box.entries[2].entry
  assert.ok(before >= 2_000_001 && before < stamp, 'all that was said before it, and not itself')
  assert.equal(new Person(store, 'US', 4000).undoUntil(4000), 603_000, 'a restart of the page remembers')
  assert.equal(me.undoUntil(700_000), 0)
  me.unforget(4_000_000)
  assert.equal(me.events(5000).length, 1)
  assert.equal(me.box.entries.at(-1).entry.before, 0)
  assert.equal(new Person(store, 'US', 900_000).aside, null)
})

test('the plain feed is no degradation, and a region that fell silent still is', () => {
  const state = { rung: 'REGIONAL', via: 'own', region: 'us-east', home: 'us-east', jurisdiction: 'US' }
  assert.equal(badge(state).tone, 'degraded')
  assert.deepEqual(badge({ ...state, feed: 'plain' }), { line: '', tone: 'well' })
  const gone = { ...state, feed: 'plain', region: 'us-west', out: [{ name: 'us-east', since: 0 }] }
  assert.equal(badge(gone).tone, 'degraded')
})

test('why and why not are said to a person', () => {
  assert.equal(part({ name: 'you like it', value: 0.1, chance: 0.124 }), 'you like it: 12 in 100')
  assert.equal(part({ name: 'you hide it', value: -0.1, chance: 0.002 }), 'you hide it: under 1 in 100')
  assert.equal(part({ name: 'people here like it now', value: 0.1, chance: null }), 'people here like it now')
  assert.match(whyNot({ state: 'filtered', filter: 'never', sentence: 's' }), /never to see/)
  assert.equal(whyNot({ state: 'filtered', filter: 'ruled', sentence: 'Not offered: it is ruled away.' }), 'Not offered: it is ruled away.')
  assert.match(whyNot({ state: 'ranked', place: 34 }), /place 34/)
  assert.equal(itemIn(' https://x.example/?a=1&item=clip-7#t '), 'clip-7')
  assert.equal(itemIn('clip-7'), 'clip-7')
  assert.equal(itemIn('not a video'), null)
  assert.equal(itemIn('https://x.example/?item=..%2Fstatus'), null)
})
