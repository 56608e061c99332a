// The client against real sockets: small HTTP servers stand for regions; one that is dark accepts and never answers.

import assert from 'node:assert/strict'
import http from 'node:http'
import { afterEach, test } from 'node:test'

import { Client } from '../../web/src/lib/client.js'
import { EXTRA_SHARE, SAVED_MAX } from '../../web/src/lib/router.js'
import { Store, memory } from '../../web/src/lib/store.js'
import { upload } from '../../web/src/lib/upload.js'

let open = []
afterEach(async () => {
  for (const x of open) x.close()
  open = []
})

class Region {
  constructor(name, jurisdiction, items) {
    Object.assign(this, { name, jurisdiction, items, dark: false, skew: 0, log: [], taken: new Map(), blocks: 0, safeTo: 0, doors: [] })
    this.server = http.createServer((q, a) => this.answer(q, a))
  }

  async up() {
    await new Promise((r) => this.server.listen(0, '127.0.0.1', r))
    open.push({ close: () => { this.server.closeAllConnections(); this.server.close() } })
    this.url = `http://127.0.0.1:${this.server.address().port}`
    return this
  }

  get map() {
    return { name: this.name, jurisdiction: this.jurisdiction, url: this.url }
  }

  answer(q, a) {
    let text = ''
    q.on('data', (d) => (text += d))
    q.on('end', () => {
      if (this.dark || this.mute === q.url) return
      const body = text && q.headers['content-type'] === 'application/json' ? JSON.parse(text) : null
      this.log.push({ path: q.url, body, token: q.headers.authorization ?? null })
      const [status, data] = this.serve(q.url, body, q)
      a.writeHead(status, { 'Content-Type': 'application/json', ...(data?.headers ?? {}) })
      a.end(typeof data === 'string' ? data : JSON.stringify(data))
    })
  }

  marks() {
    return { [`personal/${this.name}`]: { e1: this.safeTo } }
  }

  /** A region that takes an upload whole at once, and whose first answer to that is lost. */
  upload(path, body, q) {
    this.uploads ??= []
    if (q.method === 'POST') {
      this.uploads.push(q.headers['upload-metadata'])
      return [201, { headers: { Location: '/v1/uploads/x' } }]
    }
    if (q.method === 'PATCH') return [503, { message: 'the answer is lost' }]
    return q.method === 'HEAD' ? [404, {}] : [200, { state: 'published', item: 'u-1', verdict: 'allow' }]
  }

  serve(path, body, q) {
    if (this.portal) return [200, '<html>Log in to the network</html>']
    if (this.stranger) return [404, '<html>Not Found</html>']
    if (this.busy && ['/v1/feed', '/v1/events'].includes(path)) return [503, { error: 'overloaded', message: 'later', retry_after_s: 10 }]
    const now = Date.now() * 1000 + this.skew
    if (path === '/v1/region') return [200, { region: this.name, now, regions: this.all }]
    if (path === '/v1/devices') return [200, { token: `t-${this.jurisdiction}`, alias: 'v', expires: 4e9 }]
    if (path === '/v1/status') return [200, { region: this.name, now, rung: 'LINEAR', safe: {}, held: {} }]
    if (path === '/v1/safe') return [200, { safe: this.marks(), held: {}, now }]
    if (path.startsWith('/v1/items/')) {
      const item = this.items.find((i) => `/v1/items/${i.item}` === path)
      return item ? [200, { ...item, verdict: 'allow', media: { poster: 'aa' } }] : [404, { error: 'missing', message: 'no' }]
    }
    if (path.startsWith('/v1/uploads')) return this.upload(path, body, q)
    if (path === '/v1/feed') {
      const open_ = !q.headers.authorization
      const out = new Set([...(body.seen ?? []), ...(body.exclude ?? [])])
      const items = this.items.filter((i) => !out.has(i.item)).slice(0, body.n)
      return [200, { slate: 's', region: this.name, rung: open_ ? 'REGIONAL' : 'LINEAR', items, now, rewatch: false }]
    }
    if (path === '/v1/events') {
      const early = body.entries.findIndex((e) => e.stamp > now + 1e6)
      if (this.fussy-- > 0) return [422, { error: 'door', message: 'in the future', field: 'stamp', index: 0 }]
      if (early >= 0) return [422, { error: 'door', message: 'in the future', field: 'stamp', index: early }]
      const bad = body.entries.findIndex((e) => this.doors.includes(e.item))
      if (bad >= 0) return [422, { message: `no item ${body.entries[bad].item}`, index: bad }]
      for (const e of body.entries) this.taken.set(e.outbox, e)
      this.order = [...(this.order ?? []), ...body.entries.map((e) => e.outbox)]
      this.blocks += 1
      return [200, { chain: `personal/${this.name}`, epoch: 'e1', n: this.blocks, acked: body.entries.length, strongest: 'safe', safe: {}, held: {}, now }]
    }
    return [404, { message: 'not here' }]
  }
}

const catalogue = Array.from({ length: 30 }, (_, i) => ({
  item: `v${i}`, creator: 'c', tags: [['tide', 'moss', 'ember'][i % 3]], duration_ms: 6000,
}))

async function world({ jurisdiction = 'US' } = {}) {
  const regions = await Promise.all([
    new Region('us-east', 'US', catalogue).up(), new Region('us-west', 'US', catalogue).up(),
    new Region('eu-west', 'EU', catalogue).up(),
  ])
  for (const r of regions) r.all = regions.map((x) => x.map)
  const heard = []
  const client = new Client({ store: new Store(memory()), jurisdiction, notify: (what, data) => heard.push([what, data]) })
  open.push({ close: () => client.stop() })
  await client.start(regions.map((r) => r.url))
  return { client, heard, regions, ...Object.fromEntries(regions.map((r) => [r.name.replace('-', '_'), r])) }
}

const SLOW = 6 // limits are said for an idle machine; one that does other things beside may take so many times as long

const until = async (holds, ms = 4000) => {
  const end = Date.now() + ms * SLOW
  while (!holds()) {
    assert.ok(Date.now() < end, 'it did not happen in time')
    await new Promise((r) => setTimeout(r, 20))
  }
}
const personalPaths = ['/v1/devices', '/v1/events', '/v1/held']

test('a slate comes from the nearest region of the own jurisdiction', async () => {
  const { client, us_east, eu_west } = await world()
  const slate = await client.feed(5)
  assert.equal(slate.region, 'us-east')
  assert.equal(slate.items.length, 5)
  assert.equal(us_east.log.at(-1).token, 'Bearer t-US')
  assert.equal(eu_west.log.length, 0)
})

test('a silent region is left within the deadline of a feed, and its unsafe entries are sent elsewhere in order', async () => {
  const { client, us_east, us_west } = await world()
  await client.feed(3)
  for (const i of [0, 1, 2]) client.say('like', catalogue[i])
  await until(() => us_east.taken.size === 3)
  us_east.dark = true
  const slate = await client.feed(5)
  assert.equal(slate.region, 'us-west', 'within the deadline of a feed: after it the device would serve')
  client.say('like', catalogue[3])
  await until(() => us_west.taken.size === 4)
  assert.deepEqual(us_west.order.slice(0, 3), [1, 2, 3])
  assert.deepEqual([...us_west.taken.keys()].sort(), [1, 2, 3, 4])
})

test('an entry stays in the outbox until it is safe', async () => {
  const { client, us_east } = await world()
  client.say('like', catalogue[0])
  await until(() => us_east.taken.size === 1)
  await new Promise((r) => setTimeout(r, 1200))
  assert.equal(client.me.box.entries.length, 1)
  us_east.safeTo = 1
  await until(() => client.me.box.entries.length === 0)
})

test('a refused entry is dropped and said; its neighbours arrive', async () => {
  const { client, heard, us_east } = await world()
  us_east.doors = ['v1']
  for (const i of [0, 1, 2]) client.say('skip', catalogue[i])
  await until(() => us_east.taken.size === 2)
  assert.deepEqual([...us_east.taken.keys()], [1, 3])
  assert.equal(client.me.box.refused[0].outbox, 2)
  assert.match(heard.find(([what]) => what === 'refused')[1].message, /no item v1/)
})

test('a foreign region gets nothing personal, and the device filters and ranks its list', async () => {
  const { client, eu_west, us_east, us_west } = await world({ jurisdiction: 'EU' })
  const first = await client.feed(3)
  for (const i of first.items) client.me.show(i)
  client.say('like', catalogue[2])
  await until(() => eu_west.taken.size === 1)
  eu_west.dark = true
  const slate = await client.feed(5)
  assert.equal(slate.via, 'foreign')
  assert.equal(slate.rung, 'REGIONAL')
  assert.ok(slate.items.every((i) => !first.items.some((s) => s.item === i.item)), 'nothing seen comes again')
  const again = await client.feed(5, catalogue.map((i) => i.item))
  assert.equal(again.via, 'foreign', 'a device that holds everything still hears who serves')
  assert.equal(slate.items[0].tags[0], 'ember', 'the liked theme comes first')
  client.say('like', catalogue[5])
  await new Promise((r) => setTimeout(r, 1500))
  for (const region of [us_east, us_west]) {
    for (const { path, body, token } of region.log) {
      assert.equal(token, null)
      assert.ok(!personalPaths.includes(path), path)
      if (path === '/v1/feed') assert.deepEqual(Object.keys(body), ['n'])
    }
  }
  assert.equal(client.me.box.entries.length, 2, 'what was done waits for home')
})

test('with no region at all the feed still resolves, and says DEVICE', async () => {
  const { client, regions } = await world()
  await client.feed(3)
  for (const r of regions) r.dark = true
  const slate = await client.feed(5)
  assert.equal(slate.rung, 'DEVICE')
  client.say('like', catalogue[0])
  assert.equal(client.me.box.entries.length, 1)
  for (const r of regions) r.dark = false
  await client.beat()
  await until(() => regions[0].taken.size === 1, 12000)
})

test('keys, outboxes and likes of two jurisdictions never meet', async () => {
  const { client, eu_west, us_east } = await world()
  client.say('like', catalogue[0])
  const us = client.me.identity.key
  await until(() => us_east.taken.size === 1)
  client.move('EU')
  assert.notEqual(client.me.identity.key, us)
  assert.equal(client.me.box.entries.length, 0)
  client.say('like', catalogue[1])
  await until(() => eu_west.taken.size === 1)
  assert.equal(us_east.taken.size, 1)
  client.move('US')
  assert.equal(client.me.identity.key, us)
})

test('what a region acknowledged and then fell silent goes to another, though nothing more is said', async () => {
  const { client, us_east, us_west } = await world()
  for (const i of [0, 1]) client.say('like', catalogue[i])
  await until(() => us_east.taken.size === 2)
  us_east.dark = true
  await client.beat()
  await until(() => us_west.taken.size === 2)
  await until(() => client.me.box.entries.every((e) => e.ack))
  assert.equal(client.figures.acknowledged, 2, 'said again, counted once')
})

test('a region that answers health checks but no feeds is left, and believed again when it answers feeds', async () => {
  const { client, us_east } = await world()
  await client.feed(3)
  us_east.mute = '/v1/feed'
  const beats = setInterval(() => client.beat(), 150)
  open.push({ close: () => clearInterval(beats) })
  const slate = await client.feed(3)
  assert.equal(slate.region, 'us-west', 'the viewer is served elsewhere')
  const h = client.links.health['us-east']
  await until(() => h.suspectedAt !== null, 12000)
  const answers = us_east.log.length
  await until(() => us_east.log.length > answers + 20, 12000)
  assert.equal(h.calmAnswers, 0, 'health checks are no calm')
  us_east.mute = null
  await until(() => h.calmAnswers > 0, 12000)
})

test('a region of which one call is slow while it answers others is not accused where no other answers sooner', async () => {
  const { client, us_east, us_west } = await world()
  await client.feed(3)
  us_west.dark = true
  us_east.mute = '/v1/feed'
  const beats = setInterval(() => client.beat(), 150)
  open.push({ close: () => clearInterval(beats) })
  await client.feed(3)
  assert.equal(client.links.health['us-east'].gray, false)
})

test('regions that have too much to do are not asked much more often than when they are well', async () => {
  const { client, regions } = await world()
  await client.feed(3)
  for (const r of regions) {
    r.busy = true
    r.log = []
  }
  const asked = 60
  for (let i = 0; i < asked; i += 1) await client.feed(3)
  const heard = (r) => r.log.filter((x) => x.path === '/v1/feed').length
  const all = regions.reduce((n, r) => n + heard(r), 0)
  assert.ok(all <= asked * (1 + EXTRA_SHARE) + SAVED_MAX + 1, `${all} attempts at ${asked} feeds`)
  const own = regions.filter((r) => r.jurisdiction === 'US').reduce((n, r) => n + heard(r), 0)
  assert.ok(own >= 1 && own <= asked / 2, `one that asks to be left alone is: ${own} attempts`)
})

test('a portal or a stranger at the address of a region empties no outbox', async () => {
  const { client, heard, us_east, us_west } = await world()
  await client.feed(3)
  for (const kind of ['portal', 'stranger']) {
    us_east[kind] = us_west[kind] = true
    client.say('like', catalogue[0])
    await new Promise((r) => setTimeout(r, 500))
    assert.equal(client.me.box.refused.length, 0, kind)
    assert.ok(client.me.box.entries.every((e) => e.ack === null), kind)
    us_east[kind] = us_west[kind] = false
  }
  assert.ok(!heard.some(([what]) => what === 'refused'))
  await client.beat()
  await until(() => us_east.taken.size + us_west.taken.size >= 2, 12000)
})

test('a region whose clock jumps, and jumps back, loses nobody a word', async () => {
  const { client, us_east } = await world()
  for (const [k, skew] of [0, 3600e6, 0, -3600e6, 0].entries()) {
    us_east.skew = skew
    client.say('like', catalogue[k])
    await until(() => us_east.taken.size === k + 1, 12000)
  }
  assert.equal(client.me.box.refused.length, 0)
})

test('what is no longer ahead when the time is asked is said again, not given up', async () => {
  const { client, us_east } = await world()
  us_east.fussy = 1
  client.say('like', catalogue[0])
  await until(() => us_east.taken.size === 1, 12000)
  assert.equal(client.me.box.refused.length, 0)
})

test('the video that an address names is shown, if there is one', async () => {
  const { client } = await world()
  assert.equal((await client.shared('v7')).playlist, '/v1/items/v7/index.m3u8')
  assert.equal(await client.shared('nothing'), null)
  assert.equal(await client.shared('../status'), null)
})

test('an upload whose last answer was lost is not sent again, and carries a key and no name of its own', async () => {
  const { client, us_east } = await world()
  const told = []
  await upload(client, new File(['0123456789'], 'a.mp4'), { caption: '', tags: [] }, (job) => told.push(job))
  assert.equal(told.at(-1).state, 'published')
  assert.equal(told.at(-1).item, 'u-1')
  assert.equal(us_east.uploads.length, 1)
  assert.match(us_east.uploads[0], /(^|,)key /)
  assert.doesNotMatch(us_east.uploads[0], /(^|,)item /)
})

test('another feed is asked for at home; abroad it stays unsaid, and the device narrows the public list', async () => {
  const { client, us_east, us_west, eu_west } = await world()
  await client.feed(5, [], { feed: 'topic', topic: 'moss' })
  const asked = us_east.log.find((l) => l.path === '/v1/feed')
  assert.deepEqual([asked.body.feed, asked.body.topic], ['topic', 'moss'])
  client.tell('creator', 'nobody', 'never')
  await until(() => us_east.taken.size === 1)
  assert.deepEqual({ ...[...us_east.taken.values()][0], outbox: 0, stamp: 0 }, { kind: 'interest', about: 'creator', name: 'nobody', say: 'never', outbox: 0, stamp: 0 })
  us_east.dark = us_west.dark = true
  const slate = await client.feed(5, [], { feed: 'topic', topic: 'moss' })
  assert.equal(slate.via, 'foreign')
  assert.ok(slate.items.length && slate.items.every((i) => i.tags[0] === 'moss'), 'narrowed here')
  const abroad = eu_west.log.filter((l) => l.path === '/v1/feed')
  assert.ok(abroad.length && abroad.every((l) => Object.keys(l.body).join() === 'n'), 'and not said there')
})

test('a theme that was banned a moment ago is not shown, though the region has not heard of it', async () => {
  const { client } = await world()
  client.tell('tag', 'tide', 'never')
  const slate = await client.feed(9)
  assert.equal(slate.via, 'own')
  assert.ok(slate.items.length && slate.items.every((i) => i.tags[0] !== 'tide'))
})
