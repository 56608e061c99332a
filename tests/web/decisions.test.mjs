// The pure parts: clock, health, router, outbox, taste, words. No sockets, no clock, no chance.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

import { again } from '../../web/src/lib/again.js'
import { Clock } from '../../web/src/lib/clock.js'
import * as health from '../../web/src/lib/health.js'
import * as outbox from '../../web/src/lib/outbox.js'
import { partsOf, resolve } from '../../web/src/lib/pantry.js'
import { Person } from '../../web/src/lib/person.js'
import { Budget, EXTRA_SHARE, KEPT, SAVED_MAX, fence, foreign, fullJitter, permitted } from '../../web/src/lib/router.js'
import { link, shownOf } from '../../web/src/lib/shared.js'
import { Store, memory } from '../../web/src/lib/store.js'
import { blend, deviceOrder, rerank, shares, skips, weights } from '../../web/src/lib/taste.js'
import { badge, count, debutOf, foundOf, meaningOf, NEXT, noTaste, span } from '../../web/src/lib/words.js'

const REGIONS = [
  { name: 'us-east', jurisdiction: 'US' }, { name: 'us-west', jurisdiction: 'US' }, { name: 'eu-west', jurisdiction: 'EU' },
]
const well = () => Object.fromEntries(REGIONS.map((r) => [r.name, health.fresh()]))
const names = (list) => list.map((r) => r.name)

test('stamps grow, whatever the clock does, and follow the region', () => {
  const clock = new Clock()
  const a = clock.tick(1000)
  assert.equal(clock.tick(500), a + 1, 'a clock set back')
  clock.learn(9_000_000_000, 1000, 1020)
  assert.equal(clock.adjusted(1010), 9_000_000_000)
  clock.learn(1, 1000, 9000)
  assert.equal(clock.adjusted(1010), 9_000_000_000, 'a slow exchange teaches nothing')
})

test('a region is suspected at once and trusted again only after a calm', () => {
  const h = health.fresh()
  health.answered(h, 50, 0)
  health.missed(h, 1000)
  assert.ok(!health.healthy(h))
  health.answered(h, 50, 2000)
  assert.ok(health.recovering(h) && !health.healthy(h))
  health.missed(h, 3000)
  for (let t = 4000; t < 4000 + health.CALM_MS; t += 1000) health.answered(h, 50, t)
  assert.ok(!health.healthy(h), 'the miss began the lull anew')
  health.answered(h, 50, 4000 + health.CALM_MS)
  assert.ok(health.healthy(h))
})

test('patience is what a region takes and a little silence, and has a bound', () => {
  const h = health.fresh()
  for (let t = 0; t < 100; t += 1) health.answered(h, 20, t)
  assert.ok(health.patience(h) > 400 && health.patience(h) < 450, `${health.patience(h)}`)
  for (let t = 0; t < 100; t += 1) health.answered(h, 5000, t)
  assert.equal(health.patience(h), health.PATIENCE_MAX_MS)
})

test('the fence: personal requests stay home, a foreign region hears only how many', () => {
  const request = { n: 10, context: [{ item: 'a' }], seen: ['a'], exclude: ['b'], request: 'r' }
  assert.deepEqual(fence(request, 'EU', 'EU'), { body: request, token: true })
  const abroad = fence(request, 'EU', 'US')
  assert.equal(abroad.token, false)
  assert.deepEqual(Object.keys(abroad.body), ['n'])
  assert.ok(abroad.body.n > request.n)
  assert.deepEqual(names(permitted(REGIONS, well(), 'EU')), ['eu-west'])
  assert.deepEqual(names(foreign(REGIONS, well(), 'EU')), ['us-east', 'us-west'])
})

test('nearest first; not the silent, not one many times slower', () => {
  const h = well()
  assert.deepEqual(names(permitted(REGIONS, h, 'US')), ['us-east', 'us-west'])
  for (let t = 0; t < 50; t += 1) health.answered(h['us-east'], 900, t)
  for (let t = 0; t < 50; t += 1) health.answered(h['us-west'], 20, t)
  assert.deepEqual(names(permitted(REGIONS, h, 'US')), ['us-west', 'us-east'])
  health.missed(h['us-west'], 100)
  assert.deepEqual(names(permitted(REGIONS, h, 'US')), ['us-east'])
  health.missed(h['us-east'], 100)
  assert.deepEqual(names(permitted(REGIONS, h, 'US')), [])
  health.answered(h['us-west'], 20, 200)
  assert.deepEqual(names(permitted(REGIONS, h, 'US')), ['us-west'], 'one that answers again serves when no other does')
})

test('attempts beyond the first stay within a share, and hedges leave what a lost region needs', () => {
  const budget = new Budget()
  let hedged = 0
  for (let i = 0; i < 1000; i += 1) {
    budget.earn()
    hedged += budget.hedge() ? 1 : 0
  }
  assert.ok(hedged <= SAVED_MAX + 1000 * EXTRA_SHARE && hedged >= 1000 * EXTRA_SHARE, `${hedged}`)
  let moves = 0
  while (budget.retry()) moves += 1
  assert.equal(moves, KEPT)
})

test('full jitter lies between nothing and a doubling bound', () => {
  assert.equal(fullJitter(5, 0), 0)
  assert.ok(fullJitter(3, 0.999) < 2400)
  assert.ok(fullJitter(30, 0.999) <= 8000)
})

test('an outbox lets go only of what is safe', () => {
  const box = outbox.empty()
  for (let i = 0; i < 3; i += 1) outbox.add(box, { kind: 'like', item: `v${i}` }, 100 + i)
  assert.deepEqual(outbox.batch(box).map((e) => e.outbox), [1, 2, 3])
  const answer = { chain: 'personal/us-east', epoch: 'e', n: 7, strongest: 'safe' }
  outbox.acknowledge(box, outbox.batch(box, 2), answer, 'us-east', 0)
  const held = { held: { 'personal/us-east': { e: 9 } } }
  assert.equal(outbox.release(box, held, 'us-east', 1e9), 0, 'its own region holding it is not safety')
  assert.equal(outbox.release(box, { safe: { 'personal/us-east': { e: 6 } } }, 'us-east', 1), 0)
  assert.equal(outbox.release(box, { safe: { 'personal/us-east': { other: 9 } } }, 'us-east', 1), 0, 'another epoch')
  assert.equal(outbox.resend(box, 'us-west'), 0)
  assert.equal(outbox.resend(box, 'us-east'), 2)
  assert.deepEqual(outbox.batch(box).map((e) => e.outbox), [1, 2, 3], 'in order again')
  outbox.acknowledge(box, outbox.batch(box), { ...answer, chain: 'personal/us-west' }, 'us-west', 0)
  assert.equal(outbox.release(box, { held: { 'personal/us-west': { e: 7 } } }, 'us-east', 1), 3)
})

test('where local is the strongest state, the outbox lets go after a stated time', () => {
  const box = outbox.empty()
  outbox.add(box, { kind: 'like', item: 'v' }, 1)
  outbox.acknowledge(box, outbox.batch(box), { chain: 'personal/eu-west', epoch: 'e', n: 1, strongest: 'local' }, 'eu-west', 0)
  assert.equal(outbox.release(box, {}, 'eu-west', outbox.LOCAL_KEEP_MS), 0)
  assert.equal(outbox.release(box, {}, 'eu-west', outbox.LOCAL_KEEP_MS + 1), 1)
})

test('a comment goes by the block of its own chain', () => {
  const box = outbox.empty()
  outbox.add(box, { kind: 'like', item: 'v' }, 1)
  outbox.add(box, { kind: 'comment', item: 'v', text: 'x' }, 2)
  const also = [{ chain: 'public/us-east', epoch: 'p', n: 4 }]
  outbox.acknowledge(box, outbox.batch(box), { chain: 'personal/us-east', epoch: 'e', n: 9, strongest: 'safe', also }, 'us-east', 0)
  assert.equal(outbox.release(box, { safe: { 'personal/us-east': { e: 9 } } }, 'us-east', 1), 1)
  assert.equal(outbox.release(box, { safe: { 'public/us-east': { p: 4 } } }, 'us-east', 1), 1)
})

const seen = (tag, action, more = {}) => ({ item: 'x', action, tags: [tag], dwell_ms: 0, duration_ms: 6000, ...more })

test('likes pull, skips push, and the newest weigh most', () => {
  const taste = weights([seen('moss', 'like'), seen('ember', 'skip'), seen('tide', 'view', { dwell_ms: 6000 })])
  assert.ok(taste.moss > taste.tide && taste.tide > 0 && taste.ember < 0)
  const older = weights([seen('moss', 'like'), ...Array(40).fill(seen('tide', 'view', { dwell_ms: 3000 }))])
  assert.ok(older.moss < 0.5)
  assert.equal(shares(taste).reduce((s, t) => s + t.weight, 0).toFixed(6), '1.000000')
})

test('who likes a video and swipes on at once likes it', () => {
  assert.ok(skips({ duration_ms: 6000 }, 900) && !skips({ duration_ms: 6000 }, 2400))
  assert.ok(!skips({ duration_ms: 6000, liked: true }, 900))
  const liked = weights([seen('moss', 'like')])
  const left = weights([seen('moss', 'like'), seen('moss', 'view', { dwell_ms: 400 })])
  assert.ok(left.moss > 0.9 * liked.moss, 'a short look takes no like back')
  assert.ok(weights([seen('moss', 'view', { dwell_ms: 400 })]).moss < 0, 'and without a like it says no')
  assert.ok(weights([seen('moss', 'like'), seen('moss', 'hide')]).moss < 0, 'a word after it still counts')
})

test('a stranger is not told that anything was chosen for them', () => {
  const why = (...features) => ({ source: 'linear', features: features.map((name) => ({ name, value: 0.2 })) })
  const stranger = { rung: 'LINEAR', feed: 'for_you', stranger: true }
  for (const said of [meaningOf(stranger).is, foundOf(why('new'), stranger)]) {
    assert.match(said, /^Showing what people here like/)
    assert.doesNotMatch(said, /[Cc]hosen for you|you watched/)
  }
  const known = { ...stranger, stranger: false }
  assert.match(foundOf(why(NEXT), known), /watch together.*videos that you watched/)
  assert.equal(foundOf(why('new'), known), '', 'what weighed nothing is not named')
  assert.equal(foundOf({ source: 'trending' }, { rung: 'REGIONAL' }), 'Showing what people here like.')
  const words = readFileSync(new URL('../../src/holdfast/core/feed/why.py', import.meta.url), 'utf8')
  assert.ok(words.includes(`"next": "${NEXT}"`), 'a region calls it so')
  const me = new Person(new Store(memory()), 'US')
  assert.ok(me.stranger)
  me.record('like', { item: 'a', tags: [] }, { on: true }, 1, 1)
  assert.ok(!me.stranger)
  assert.notEqual(noTaste(true), noTaste(false))
})

test('the device shows unseen first by taste, then what was seen longest ago', () => {
  const items = ['a', 'b', 'c', 'd'].map((item, i) => ({ item, tags: [i % 2 ? 'moss' : 'tide'] }))
  const order = deviceOrder(items, { moss: 2 }, { a: 5, d: 1 })
  assert.deepEqual(order.items.map((i) => i.item), ['b', 'c', 'd', 'a'])
  assert.equal(order.fresh, 2)
  const many = rerank(Array.from({ length: 9 }, (_, i) => ({ item: i, tags: [i < 6 ? 'moss' : 'tide'] })), { moss: 0.5 })
  assert.notEqual(many.slice(0, 5).map((i) => i.tags[0]).join(), 'moss,moss,moss,moss,moss', 'taste leads, variety follows')
})

test('what is in hand is blended with a fresh slate by taste', () => {
  const of = (tag, item) => ({ item, tags: [tag] })
  const hand = [of('tide', 'a'), of('moss', 'b'), of('ember', 'c')]
  const out = blend([of('tide', 'x'), of('tide', 'y')], hand, { moss: 1, ember: -2 }).map((i) => i.item)
  assert.deepEqual(out, ['b', 'x', 'y', 'a'], 'favoured first, disliked gone, nothing else lost')
})

test('a playlist names its parts by path', () => {
  const text = '#EXTM3U\n#EXT-X-MAP:URI="../../blobs/aa"\n#EXTINF:2,\n../../blobs/bb\n#EXT-X-ENDLIST\n'
  assert.deepEqual(partsOf(text), ['../../blobs/aa', '../../blobs/bb'])
  assert.equal(resolve('../../blobs/aa', '/v1/items/v1/index.m3u8'), '/v1/blobs/aa')
})

test('the badge says what happened, to whom, and what is kept', () => {
  const base = { rung: 'LINEAR', via: 'own', region: 'us-east', home: 'us-east', jurisdiction: 'US', out: [] }
  assert.deepEqual(badge(base), { line: '', tone: 'well' })
  const out = [{ name: 'us-east', since: 0 }]
  assert.match(badge({ ...base, region: 'us-west', out }).line, /us-east does not answer since .*goes on from us-west; your likes are kept/)
  const eu = badge({ ...base, rung: 'REGIONAL', via: 'foreign', region: 'us-east', home: 'eu-west', jurisdiction: 'EU', out: [{ name: 'eu-west', since: 0 }], waiting: 2 })
  assert.match(eu.line, /Public videos from us-east.*nothing about you leaves the EU.*2 things you did wait here/)
  assert.match(badge({ ...base, rung: 'DEVICE', via: 'device', out, waiting: 1 }).line, /No region answers.*1 thing you did waits here/)
  assert.equal(badge({ ...base, rung: 'DEVICE', via: 'device' }).tone, 'lost')
  assert.equal(span(0.2), 'under 1 s')
  assert.equal(span(7300), '2 h')
  assert.equal(count(12_345), '12.3k')
})

test('a comment in a mixed batch can be safe, though what goes with it is at most local', () => {
  const box = outbox.empty()
  outbox.add(box, { kind: 'like', item: 'v' }, 1)
  outbox.add(box, { kind: 'comment', item: 'v', text: 'x' }, 2)
  const also = [{ chain: 'public/eu-west', epoch: 'p', n: 4, strongest: 'safe' }]
  outbox.acknowledge(box, outbox.batch(box), { chain: 'personal/eu-west', epoch: 'e', n: 9, strongest: 'local', also }, 'eu-west', 0)
  assert.equal(outbox.release(box, {}, 'eu-west', outbox.LOCAL_KEEP_MS + 1), 1, 'the like goes by time')
  assert.equal(box.entries[0].entry.kind, 'comment')
})

test('what is no acknowledgement takes nothing from the outbox', () => {
  const box = outbox.empty()
  outbox.add(box, { kind: 'comment', item: 'v', text: 'x' }, 1)
  const portal = [null, {}, { message: '<html>Log in</html>' }, { chain: 'personal/us-east', epoch: 'e', n: 1 }]
  for (const answer of portal) {
    assert.throws(() => outbox.acknowledge(box, outbox.batch(box), answer, 'us-east', 0), TypeError)
    assert.equal(outbox.batch(box).length, 1)
  }
})

test('a page that starts again says again what is not safe, under numbers that it never gives twice', () => {
  const store = new Store(memory())
  const first = new Person(store, 'US', 1000)
  first.record('like', { item: 'v' }, {}, 1, 1000)
  assert.deepEqual(outbox.batch(first.box).map((e) => e.outbox), [1])
  outbox.acknowledge(first.box, outbox.batch(first.box), { chain: 'personal/us-east', epoch: 'e', n: 1, strongest: 'safe' }, 'us-east', 0)
  first.keep('box')
  const again = new Person(store, 'US', 2000)
  assert.deepEqual(outbox.batch(again.box).map((e) => e.outbox), [1], 'its region may have burnt meanwhile')
  again.record('like', { item: 'w' }, {}, 2, 2000)
  assert.deepEqual(outbox.batch(again.box).map((e) => e.outbox), [1, 2_000_000])
  store.set('US', 'outbox', null) // the store lost it, and kept the key
  const bare = new Person(store, 'US', 3000)
  bare.record('like', { item: 'x' }, {}, 3, 3000)
  assert.deepEqual(outbox.batch(bare.box).map((e) => e.outbox), [3_000_000])
})

test('a clock that ran ahead is not followed once a region has told the time', () => {
  const clock = new Clock()
  const wrong = clock.tick(9_000_000)
  assert.equal(clock.tick(1000), wrong + 1, 'without a region, stamps only grow')
  clock.learn(1_000_000, 1000, 1000)
  assert.equal(clock.tick(1000), 1_000_000)
  const box = outbox.empty()
  for (const stamp of [500_000, wrong]) outbox.add(box, { kind: 'like', item: 'v' }, stamp)
  assert.equal(outbox.restamp(box, clock.latest(1000), () => clock.tick(1000)), 1)
  assert.deepEqual(outbox.batch(box).map((e) => e.stamp), [500_000, 1_000_001])
})

test('an address opens a video only if it may be shown, and a link only if it is one', () => {
  const page = { item: 'u-1', creator: 'c', caption: '', tags: [], verdict: 'allow', media: { poster: 'aa', width: 9, height: 16 }, url: null }
  assert.equal(shownOf(page).playlist, '/v1/items/u-1/index.m3u8')
  assert.equal(shownOf(page).poster, '/v1/blobs/aa')
  for (const verdict of ['', 'ask', 'age', 'remove', undefined]) assert.equal(shownOf({ ...page, verdict }), null)
  assert.equal(shownOf({ ...page, media: null }), null)
  assert.equal(shownOf({ ...page, item: '../rulings' }), null)
  for (const bad of ['javascript:alert(1)', ' javascript:alert(1)', 'data:text/html,x', '//x', null]) assert.equal(link(bad), undefined)
  assert.equal(link('https://songs.example/1'), 'https://songs.example/1')
})

test('what a region no longer holds is said again, once that is no mere delay', () => {
  const box = outbox.empty()
  outbox.add(box, { kind: 'like', item: 'v' }, 1)
  outbox.acknowledge(box, outbox.batch(box), { chain: 'personal/us-east', epoch: 'old', n: 7, strongest: 'safe' }, 'us-east', 0)
  const anew = { 'personal/us-east': { fresh: 1 } }
  assert.equal(outbox.forgotten(box, anew, 'us-east', outbox.DOUBT_MS - 1), 0)
  assert.equal(outbox.forgotten(box, anew, 'us-west', outbox.DOUBT_MS), 0)
  assert.equal(outbox.forgotten(box, {}, 'us-east', outbox.DOUBT_MS), 0)
  assert.equal(outbox.forgotten(box, anew, 'us-east', outbox.DOUBT_MS), 1)
  const behind = { 'personal/us-east': { old: 6 } }
  for (const [region, after, again] of [['us-east', outbox.DOUBT_MS, 1], ['us-west', outbox.LAG_MS - 1, 0], ['us-west', outbox.LAG_MS, 1]]) {
    outbox.acknowledge(box, outbox.batch(box), { chain: 'personal/us-east', epoch: 'old', n: 7, strongest: 'safe' }, 'us-east', 0)
    assert.equal(outbox.forgotten(box, behind, region, after), again)
    outbox.afresh(box)
  }
})

test('a creator reads how the first viewers come, by the ruling and the count', () => {
  const video = (verdict, debut) => ({ verdict, reasons: [], debut: { met: 0, owed: 20, words: 'as the region says', since: 1e6, ...debut } })
  const running = debutOf(video('allow', { state: 'running', met: 12 }), 361e6)
  assert.equal(running.line, '12 of its first 20 viewers, in 6 min.')
  assert.equal(debutOf(video('allow', { state: 'running' }), 21e6).line, 'None of its first 20 viewers yet, after 20 s.')
  assert.equal(debutOf(video('allow', { state: 'running', met: 3, owed: 8 })).line, 'as the region says', 'fewer are owed, and it says why')
  assert.deepEqual([debutOf(video('ask', { state: 'waiting' })).ticks, debutOf(video('allow', { state: 'reached' })).ticks], [false, true])
  const asked = debutOf({ ...video('ask', { state: 'waiting' }), reasons: ['It names a person.'] })
  assert.equal(asked.line, 'It waits for a person who decides. It names a person.')
  const words = ['allow', 'limit', 'remove', ''].map((verdict) => debutOf(video(verdict, { state: 'waiting' })).word)
  assert.deepEqual(words, ['waiting', 'limited', 'not shown', 'waiting'])
  for (const state of ['waiting', 'running', 'reached', 'stopped', 'over']) {
    const { shape, word, tone } = debutOf(video('allow', { state }))
    assert.ok(shape && word && tone, `${state} is a shape and a word`)
  }
})

test('what is asked again and again is not asked once more after its end, even by what was under way', async () => {
  let asked = 0
  let answer
  const stop = again(() => { asked += 1; return new Promise((done) => (answer = done)) }, 0)
  const turns = async () => { for (let i = 0; i < 5; i++) await new Promise((done) => setTimeout(done, 1)) }
  answer()
  await turns()
  assert.equal(asked, 2)
  stop()
  answer()
  await turns()
  assert.equal(asked, 2)
})
