// The client: what the page (or any JavaScript app) uses to watch, say and keep things, whatever the regions do.
//
//     const client = new Client({ store, notify })
//     await client.start('http://region')           learn the regions, keep their health
//     const slate = await client.feed(10)            own regions, else foreign public ones, else the device itself
//     client.say('like', item)                       into the outbox; kept until it is safe
//
// It never throws at a viewer for want of a region: `feed` always resolves, and `say` only writes down.

import { Clock } from './clock.js'
import { fresh } from './health.js'
import { HttpError, Links } from './links.js'
import * as outbox from './outbox.js'
import { Pantry } from './pantry.js'
import { Person } from './person.js'
import { ITEM, shownOf } from './shared.js'
import { fence, foreign, fullJitter, permitted } from './router.js'
import { deviceOrder, rerank, shares } from './taste.js'
import { banned, FOR_YOU, narrow, asking } from './wishes.js'

const FEED_DEADLINE_MS = 2500
const UNSHAPED = ['REGIONAL', 'SHELF'] // rungs whose lists are the same for everybody: the device orders them
const LAST_HOPE_MS = 500 // with every region asked and silent, the device serves a viewer sooner than a deadline does
const WRITE_DEADLINE_MS = 4000
const SETTLE_MS = 1000 // how often we ask what has become safe while something is not
const BEAT_DEADLINE_MS = 1500
const DOORS = ['door', 'malformed', 'large'] // codes by which a region says that the entries themselves are at fault

export class Client {
  constructor({ store, notify = () => {}, jurisdiction = null, fetch = (...a) => globalThis.fetch(...a), now, chance }) {
    Object.assign(this, { store, notify, chance: chance ?? Math.random, now: now ?? (() => Date.now()) })
    this.links = new Links({ fetch, now: this.now, notify: (what, data) => this.#routed(what, data) })
    this.pantry = new Pantry((path, check, deadline) => this.#part(path, check, deadline))
    this.clock = new Clock()
    this.status = {} // region -> newest Status heard
    this.figures = { acknowledged: 0, failed: 0, repeats: 0, slates: 0 }
    this.flushing = null
    this.stopped = false
    this.move(jurisdiction)
  }

  /** Live under `jurisdiction` from now on: another key, another outbox, nothing carried across. */
  move(jurisdiction) {
    this.me = jurisdiction ? new Person(this.store, jurisdiction, this.now()) : null
    if (!this.me) return
    this.clock.last = Math.max(this.clock.last, this.me.stamp)
    if (this.links.regions.length) this.flush()
  }

  get jurisdiction() {
    return this.me?.jurisdiction ?? null
  }

  // -- regions -------------------------------------------------------------------------------------------------

  /** Learn the regions from `urls`, whichever answers; falls back on the last list known. */
  async start(urls) {
    const kept = this.store.get('device', 'regions', [])
    for (const url of urls) {
      try {
        const region = { name: url, url }
        this.links.health[url] ??= fresh()
        const { data, sent, ms } = await this.links.call(region, '/v1/region', { signal: AbortSignal.timeout(2000) })
        this.clock.learn(data.now, sent, sent + ms)
        return this.adopt(data.regions, data.region)
      } catch {
        continue // silent, or not a region: the next address
      }
    }
    return this.adopt(kept)
  }

  /** Take the list of regions; `first` is the one that served this page, hence the nearest. */
  adopt(regions, first = null) {
    const list = [...regions].sort((a, b) => (b.name === first) - (a.name === first))
    if (list.length) this.store.set('device', 'regions', list)
    this.links.learn(list)
    if (!this.me && list.length) this.move(list[0].jurisdiction)
    return list
  }

  /** Regions that personal requests may go to, best first. */
  own() {
    return permitted(this.links.regions, this.links.health, this.jurisdiction, this.now())
  }

  abroad() {
    return foreign(this.links.regions, this.links.health, this.jurisdiction)
  }

  #routed(what, data) {
    if (!data.healthy && this.me && outbox.resend(this.me.box, data.region)) {
      this.#saved(this.me)
      this.flush()
    }
    this.wake?.()
    this.notify(what, data)
  }

  /** Ask every region how it is; this is the probe, too. Public, so it may go anywhere. */
  async beat() {
    await Promise.all(this.links.regions.map((region) => this.#beatOne(region)))
    this.notify('beat', this.status)
  }

  async #beatOne(region) {
    const send = (r, signal) => this.links.call(r, '/v1/status', { signal })
    const taste = (r, signal) => this.links.call(r, '/v1/feed', { method: 'POST', json: { n: 1 }, signal })
    if (this.links.health[region.name].gray) this.links.race([region], taste, { deadline: BEAT_DEADLINE_MS }).catch(() => {})
    try {
      const { answer } = await this.links.race([region], send, { deadline: BEAT_DEADLINE_MS })
      this.status[region.name] = { ...answer.data, heard: this.now() }
      this.clock.learn(answer.data.now, answer.sent, answer.sent + answer.ms)
      if (region.jurisdiction === this.jurisdiction) this.#release(this.me, answer.data, region.name)
    } catch {
      // silence is an answer: the race has told the health record
    }
  }

  // -- the feed ------------------------------------------------------------------------------------------------

  /** A slate of about `n` videos, `exclude` left out. Always resolves; `via` says who made it, `feed` what it is. */
  async feed(n = 10, exclude = [], which = FOR_YOU) {
    const { me } = this
    const own = this.own()
    const request = { n, context: me.events(this.now()), seen: me.seen, exclude, request: this.#name(me), ...asking(which) }
    const send = (region, signal) => this.#ask(me, region, request, signal)
    try {
      const options = { deadline: FEED_DEADLINE_MS, hedge: own.length, hope: LAST_HOPE_MS }
      const { region, answer } = await this.links.race([...own, ...this.abroad()], send, options)
      const slate = this.#accept(me, answer.data, region, exclude, which)
      return slate.items.length ? slate : this.#device(me, n, exclude, which)
    } catch {
      return this.#device(me, n, exclude, which) // the lowest rung needs nothing
    }
  }

  #name(me) {
    return `${me.identity.key.slice(0, 6).replaceAll(/[^a-zA-Z0-9]/g, 'x')}-${Math.floor(this.chance() * 2 ** 40).toString(36)}`
  }

  async #ask(me, region, request, signal) {
    const { body, token } = fence(request, me.jurisdiction, region.jurisdiction)
    if (!token) return this.links.call(region, '/v1/feed', { method: 'POST', json: body, signal })
    return this.#personal(me, region, '/v1/feed', body, signal)
  }

  #accept(me, slate, region, exclude, which) {
    this.figures.slates += 1
    if (region.jurisdiction === me.jurisdiction) {
      this.#release(me, slate, region.name)
      this.wake?.()
      const seen = new Set(me.seen)
      const items = slate.rewatch ? slate.items : slate.items.filter((i) => !seen.has(i.item))
      this.figures.repeats += slate.items.length - items.length
      const open = items.filter((i) => !banned(i, me.told)) // said a moment ago, and this region has not folded it yet
      const shaped = !UNSHAPED.includes(slate.rung) || ['plain', 'following'].includes(slate.feed)
      const order = shaped ? open : rerank(open, me.taste())
      return { ...slate, feed: slate.feed ?? 'for_you', stranger: me.stranger, items: order.map((i) => mark(me, i, slate)), via: 'own' }
    }
    const out = new Set(exclude)
    const kept = slate.items.filter((i) => !out.has(i.item))
    const fit = narrow(kept.length ? kept : slate.items, which, me.told, me.following) // the same again says who serves
    const order = deviceOrder(fit.items, tasteFor(me, fit.feed), me.lastSeen())
    const items = (order.fresh ? order.items.slice(0, order.fresh) : order.items).map((i) => mark(me, i, slate))
    return { ...slate, items, feed: fit.feed, rewatch: order.fresh === 0, taste: shares(tasteFor(me, fit.feed)), via: 'foreign' }
  }

  /** The DEVICE rung: what is in the pantry, ranked by what was just watched. */
  #device(me, n, exclude, which) {
    const out = new Set(exclude)
    const stock = this.pantry.playable().filter((i) => !out.has(i.item))
    const fit = narrow(stock, which, me.told, me.following)
    const taste = tasteFor(me, fit.feed)
    const order = deviceOrder(fit.items, taste, me.lastSeen())
    const rewatch = order.fresh === 0
    const chosen = order.items.slice(0, rewatch ? n : Math.min(n, order.fresh))
    const items = chosen.map((i) => ({ ...mark(me, i, { slate: '' }), why: onDevice(i) }))
    return { slate: '', rung: 'DEVICE', reason: '', items, feed: fit.feed, rewatch, taste: shares(taste), via: 'device', lacks: {} }
  }

  /** The last published shelf: food for the pantry. */
  async shelf() {
    const send = (r, signal) => this.links.call(r, '/v1/shelf', { signal })
    const { answer } = await this.links.race([...this.own(), ...this.abroad()], send)
    return JSON.parse(answer.data.shelf).items ?? []
  }

  /** Public facts of one item: `comments` or nothing for the item itself. */
  about(item, what = '') {
    return this.open(`/v1/items/${item}${what && `/${what}`}`)
  }

  /** A public address of any region: no token goes with it. */
  async open(path) {
    const send = (r, signal) => this.links.call(r, path, { signal })
    return (await this.links.race([...this.own(), ...this.abroad()], send)).answer.data
  }

  /** The video that an address names, as a slate carries it; null if there is none that may be shown. */
  async shared(item) {
    if (!ITEM.test(item ?? '')) return null
    try {
      const found = shownOf(await this.about(item))
      return found && mark(this.me, found, { slate: '' })
    } catch (error) {
      if (error instanceof HttpError && error.status === 404) return null
      throw error
    }
  }

  async #part(path, check, deadline) {
    const send = async (region, signal) => check((await this.links.call(region, path, { as: 'bytes', signal })).data)
    const { answer } = await this.links.race([...this.own(), ...this.abroad()], send, { deadline, blame: false })
    return answer
  }

  // -- saying ----------------------------------------------------------------------------------------------------

  /** Write down that the viewer did `kind` to `item`, with `more` fields of the entry; it is sent when it can be. */
  say(kind, item, more = {}) {
    this.me.record(kind, item, more, this.clock.tick(this.now()), this.now())
    this.notify('taste', this.me.taste())
    this.#saved(this.me)
    this.flush()
  }

  /** More, less or never of a theme or creator. */
  tell(about, name, say) {
    this.me.tell(about, name, say, this.clock.tick(this.now()))
    this.#told()
  }

  /** Have nothing chosen by what was done so far; `unforget` brings it back for ten minutes. */
  forget() {
    this.me.forget(this.clock.tick(this.now()), this.now())
    this.#told()
  }

  unforget() {
    this.me.unforget(this.clock.tick(this.now()))
    this.#told()
  }

  #told() {
    this.notify('taste', this.me.taste())
    this.#saved(this.me)
    this.flush()
  }

  /** A call with this person's token to a region of ours, a POST if there is a `body`. Throws when none answers. */
  async mine(path, body) {
    const { me } = this
    const send = (region, signal) => this.#personal(me, region, path, body, signal)
    return (await this.links.race(this.own(), send, { deadline: FEED_DEADLINE_MS })).answer.data
  }

  #saved(me) {
    me.keep('box')
    if (me === this.me) this.notify('outbox', outbox.counts(me.box))
  }

  /** Send what waits, in order, until nothing waits. One at a time; safe to call at any moment. */
  flush() {
    this.flushing ??= this.#flush().finally(() => {
      this.flushing = null
      if (outbox.batch(this.me.box, 1).length && !this.stopped) this.flush() // said while the last one ended
      else this.#settle()
    })
    return this.flushing
  }

  async #flush() {
    let attempt = 0
    let size = outbox.BATCH_MAX
    await pause(20) // gather what one gesture says
    while (!this.stopped) {
      const { me } = this
      if (!outbox.batch(me.box, 1).length) return
      try {
        await this.#send(me, size)
        attempt = 0
      } catch (error) {
        if (error.data?.field === 'stamp') await this.#askTime(error.region)
        const next = this.#judge(me, error.entries ?? [], error)
        size = next ?? size
        if (next === null) await this.#rest(Math.max(fullJitter(attempt, this.chance()), asked(error)))
        attempt += 1
      }
    }
  }

  /** Wait, unless a region answers meanwhile. */
  #rest(ms) {
    return Promise.race([pause(ms), new Promise((wake) => (this.wake = wake))])
  }

  async #send(me, size) {
    const send = async (region, signal) => {
      const entries = outbox.batch(me.box, size) // anew for each region: a silent one hands its entries back, and order holds
      try {
        return { entries, ...(await this.#personal(me, region, '/v1/events', { entries }, signal)) }
      } catch (error) {
        throw Object.assign(error, { entries })
      }
    }
    const regions = permitted(this.links.regions, this.links.health, me.jurisdiction, this.now())
    const { region, answer } = await this.links.race(regions, send, { deadline: WRITE_DEADLINE_MS })
    this.figures.acknowledged += outbox.acknowledge(me.box, answer.entries, answer.data, region.name, this.now())
    this.#release(me, answer.data, region.name)
    this.#saved(me)
  }

  /** What an error of a send means: how many entries to send next, or null for "the same, later". */
  #judge(me, entries, error) {
    const passing = !(error instanceof HttpError) || error.status >= 500 || [401, 403, 429].includes(error.status)
    if (passing) return null
    const named = error.data?.index ?? null
    if (error.data?.field === 'stamp') {
      if (this.#restamped(me)) return entries.length
      const { stamp } = entries[named ?? 0] ?? {}
      if (!this.clock.aged(stamp, this.now())) return null // no longer ahead, or the time could not be asked
    }
    if (named === null && !DOORS.includes(error.data?.error)) return null // not a region's word on these entries
    const index = named ?? (entries.length === 1 ? 0 : null)
    if (index === null || !entries[index]) return 1 // it does not say which: one by one
    this.figures.failed += 1
    this.notify('refused', outbox.refuse(me.box, entries[index].outbox, error.message))
    this.#saved(me)
    return entries.length
  }

  /** A region calls our stamps wrong: its clock may have jumped, or that of the region we had them from. */
  async #askTime(name) {
    const region = this.links.regions.find((r) => r.name === name)
    try {
      const { data, sent, ms } = await this.links.call(region, '/v1/safe', { signal: AbortSignal.timeout(BEAT_DEADLINE_MS) })
      this.clock.tightest = Infinity
      this.clock.learn(data.now, sent, sent + ms)
    } catch {
      // silent now: judged by what we know
    }
  }

  /** Our clock was ahead, and no region took what it stamped: stamp that anew. Returns how many. */
  #restamped(me) {
    const latest = this.clock.latest(this.now())
    if (latest === null) return 0
    const many = outbox.restamp(me.box, latest, () => this.clock.tick(this.now()))
    if (many) this.#saved(me)
    return many
  }

  #release(me, answer, region) {
    if (!me) return
    const gone = outbox.release(me.box, answer, region, this.now())
    const again = outbox.forgotten(me.box, answer.held, region, this.now())
    if (gone || again) this.#saved(me)
    if (again) this.flush()
  }

  /** While something acknowledged is not yet safe, ask now and then. */
  async #settle() {
    if (this.settling) return
    this.settling = true
    while (!this.stopped && outbox.counts(this.me.box).acked) {
      await pause(SETTLE_MS)
      const { me } = this
      try {
        const { region, answer } = await this.links.race(this.own(), (r, signal) => this.links.call(r, '/v1/safe', { signal }))
        this.#release(me, answer.data, region.name)
      } catch {
        await pause(fullJitter(3, this.chance()))
      }
    }
    this.settling = false
  }

  /** A call with this person's token, a POST if there is a body; a token that is not taken is renewed once. */
  async #personal(me, region, path, json, signal) {
    const post = async () => {
      const token = await this.#token(me, region, signal)
      return this.links.call(region, path, { method: json ? 'POST' : 'GET', json, token, signal })
    }
    let answer
    try {
      answer = await post()
    } catch (error) {
      if (!(error instanceof HttpError) || error.status !== 401) throw error
      me.token = null
      answer = await post()
    }
    this.clock.learn(answer.data.now, answer.sent, answer.sent + answer.ms)
    return answer
  }

  async #token(me, region, signal) {
    const now_s = this.clock.adjusted(this.now()) / 1e6
    if (me.token && me.token.expires > now_s + 60) return me.token.token
    const proof = me.identity.proof(me.jurisdiction, Math.floor(now_s))
    me.token = (await this.links.call(region, '/v1/devices', { method: 'POST', json: proof, signal })).data
    me.keep('token')
    return me.token.token
  }

  /** A permitted region that answers, and a token for it, other than `stale`: for uploads. Throws when all are out. */
  async credentials(stale = '') {
    const { me } = this
    if (stale && me.token?.token === stale) me.token = null
    const send = async (region, signal) => {
      await this.links.call(region, '/v1/safe', { signal }) // a token in hand does not show that the region lives
      return { region, token: await this.#token(me, region, signal) }
    }
    return (await this.links.race(this.own(), send)).answer
  }

  stop() {
    this.stopped = true
  }
}

/** How long (ms) a region that has too much to do asked us to wait; within the bound of our own waits. */
const asked = (error) => Math.min(1000 * (error.data?.retry_after_s ?? 0), 8000)

const pause = (ms) => new Promise((r) => setTimeout(r, ms))

/** Themes to order by: none in the feed without profiling. */
const tasteFor = (me, feed) => (feed === 'plain' ? {} : me.taste())

function mark(me, item, slate) {
  return { ...item, liked: me.liked.includes(item.item), slate: slate.slate, following: me.following.includes(item.creator) }
}

function onDevice(item) {
  return {
    source: 'device', score: 0,
    sentence: 'No region answers, so this device chose from what it holds, by what you just watched.',
    features: (item.tags ?? []).map((t) => ({ name: `theme ${t}`, value: 1 })),
  }
}
