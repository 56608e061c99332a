// The wires to the regions: sends a request to the best of them, and moves on when one falls silent.
//
// This is the acting half of `health.js` and `router.js`. One rule serves reads, writes and media: start with the
// first region; when it has been silent for longer than its habit allows, start the next beside it, as long as the budget
// pays for more than one attempt; the first answer wins and the rest are dropped. A region that answered anything since we asked is slow, not silent, and is not suspected.

import { answered, beaten, fresh, healthy, hedgeAfter, missed, patience } from './health.js'
import { Budget } from './router.js'

const STALL_MS = 150 // a timer this late means that we were asleep, not the region
const REST_MAX_MS = 10000 // whatever a region asks for: beyond, it would be a way to send everybody away for good
const GAIN_STRAINED = 0.1 // what one answer of "overloaded" takes from a region's success

export class HttpError extends Error {
  constructor(status, data, region) {
    super(data?.message ?? `HTTP ${status}`)
    Object.assign(this, { status, data, region })
  }
}

export class Links {
  constructor({ fetch, now = () => Date.now(), notify = () => {} }) {
    Object.assign(this, { fetch, now, notify, regions: [], health: {}, budget: new Budget(), waiting: new Set() })
  }

  /** Take the list of regions, nearest first: [{name, jurisdiction, url}]. What is known of their health is kept. */
  learn(regions) {
    this.regions = regions
    for (const r of regions) this.health[r.name] ??= fresh()
  }

  /** One request to one region. Resolves to {data, headers, status, ms}; throws HttpError, or what fetch throws. */
  async call(region, path, { method = 'GET', json, body, headers = {}, token, signal, as = 'json' } = {}) {
    const sent = this.now()
    const all = { ...headers }
    if (token) all.Authorization = `Bearer ${token}`
    if (json !== undefined) all['Content-Type'] = 'application/json'
    const init = { method, headers: all, body: json === undefined ? body : JSON.stringify(json), signal }
    const answer = await this.fetch(region.url + path, { ...init, cache: 'no-store', referrerPolicy: 'no-referrer', redirect: 'error' })
    const data = await read(answer, answer.ok ? as : 'said')
    const ms = this.now() - sent
    const h = this.health[region.name]
    if (answer.status >= 500 || answer.status === 429) h.success -= GAIN_STRAINED * h.success
    else this.#heard(region, as === 'json' ? ms : h.latency, path === '/v1/feed')
    if (token && data?.error === 'overloaded') h.restUntil = this.now() + Math.min(1000 * (data.retry_after_s ?? 1), REST_MAX_MS)
    if (!answer.ok) throw new HttpError(answer.status, data, region.name)
    return { data, headers: answer.headers, status: answer.status, ms, sent }
  }

  #heard(region, ms, feed) {
    const h = this.health[region.name]
    const was = healthy(h)
    answered(h, ms, this.now(), feed)
    if (healthy(h) !== was) this.notify('route', { region: region.name, healthy: true })
  }

  /** `region` failed us at `sent`: suspect it unless it has answered something since. */
  #failed(region, sent) {
    const h = this.health[region.name]
    if (h.lastOk !== null && h.lastOk > sent) return
    const was = healthy(h)
    missed(h, this.now())
    if (was) this.notify('route', { region: region.name, healthy: false })
    for (const poke of [...this.waiting]) poke(region.name)
  }

  /**
   * Ask `regions` in order until one answers: `send(region, signal)` makes the request. Answers that say who must act
   * (4xx) end the race; silence, breaks and 5xx move on. Resolves to {region, answer}; throws the last error.
   * `hedge`: how many of the first regions may get a second copy early, within the budget. `blame`: silence counts
   * against the region (not so for bytes of video, which it may have to fetch from afar). `hope`: how long to go on
   * waiting once every region has been asked and is silent.
   */
  race(regions, send, { deadline = 3000, hedge = 0, blame = true, hope = deadline } = {}) {
    return new Promise((resolve, reject) => {
      new Race(this, { regions, send, deadline, hedge, blame, hope }, resolve, reject).start()
    })
  }

  suspect(region, sent) {
    this.#failed(region, sent)
  }

  /** `region` left unanswered what another one answered: it is sick in a way that no health check shows. */
  beaten(region) {
    const h = this.health[region.name]
    const was = healthy(h)
    beaten(h, this.now())
    if (was) this.notify('route', { region: region.name, healthy: false })
  }
}

class Race {
  constructor(links, plan, resolve, reject) {
    Object.assign(this, { links, ...plan, resolve, reject, next: 0, open: new Map(), timers: [], last: null, over: false })
    this.poke = (name) => this.open.has(name) && this.start()
  }

  /** Ask the next region; `paid`: the budget was asked already. */
  start(paid = false) {
    if (this.over) return
    if (this.next === 0) {
      this.links.budget.earn()
      this.links.waiting.add(this.poke)
      this.#after(this.deadline, () => this.#end(this.reject, this.last ?? new Error('no region answered in time')))
    }
    const more = this.next === 0 || paid || (this.next < this.regions.length && this.links.budget.retry())
    if (!more) this.regions = this.regions.slice(0, this.next) // those asked are all there are
    const region = this.regions[this.next]
    if (!region) {
      if (this.open.size === 0) this.#end(this.reject, this.last ?? new Error('no region to ask'))
      return
    }
    this.next += 1
    this.#ask(region)
  }

  #ask(region) {
    const control = new AbortController()
    const { links } = this
    const sent = links.now()
    const h = links.health[region.name]
    this.open.set(region.name, { region, sent, control })
    this.#after(patience(h), () => this.#silent(region, sent))
    if (this.next < this.hedge) this.#after(hedgeAfter(h), () => this.#second(region))
    this.send(region, control.signal).then(
      (answer) => this.open.delete(region.name) && this.#end(this.resolve, { region, answer }),
      (error) => this.#lost(region, sent, error),
    )
  }

  #second(region) {
    if (this.open.has(region.name) && this.open.size === 1 && this.links.budget.hedge()) this.start(true)
  }

  #silent(region, sent) {
    if (!this.open.has(region.name)) return
    const h = this.links.health[region.name]
    const since = Math.max(sent, h.lastOk ?? sent)
    const left = since > sent ? patience(h) - (this.links.now() - since) : 0
    if (!this.blame) this.start()
    else if (left <= 0) this.links.suspect(region, since) // pokes this race too
    else this.#after(left, () => this.#silent(region, sent)) // slow, not silent: go on listening
    if (this.blame && this.open.size === 1) this.start() // and look elsewhere all the same
    if (this.next >= this.regions.length) {
      this.#after(this.hope, () => this.#end(this.reject, new Error('every region is silent')))
    }
  }

  #lost(region, sent, error) {
    if (!this.open.delete(region.name) || this.over) return
    this.last = error
    const final = error instanceof HttpError && error.status < 500 && error.status !== 429
    if (final) return this.#end(this.reject, error)
    if (!(error instanceof HttpError)) this.links.suspect(region, sent)
    return this.start()
  }

  #after(ms, act) {
    const due = this.links.now() + ms
    const fire = () => {
      if (this.over) return
      if (this.links.now() - due > STALL_MS) this.timers.push(setTimeout(act, STALL_MS))
      else act()
    }
    this.timers.push(setTimeout(fire, ms))
  }

  #end(settle, value) {
    if (this.over) return
    this.over = true
    this.timers.forEach(clearTimeout)
    this.links.waiting.delete(this.poke)
    settle(value)
    const winner = settle === this.resolve && this.blame ? value.region : null
    for (const late of this.open.values()) {
      if (winner?.jurisdiction === late.region.jurisdiction && winner !== late.region) this.#hearOut(late)
      else late.control.abort()
    }
  }

  /** Nobody waits for a loser, but what it leaves unanswered is held against it. */
  #hearOut({ region, sent, control }) {
    const { links } = this
    const due = sent + patience(links.health[region.name])
    const judge = () => {
      if (this.open.has(region.name)) links.beaten(region)
      control.abort()
    }
    const asleep = () => links.now() - due > STALL_MS
    setTimeout(() => (asleep() ? setTimeout(judge, STALL_MS) : judge()), Math.max(0, due - links.now()))
  }
}

async function read(answer, as) {
  if (as === 'bytes') return answer.arrayBuffer()
  if (as === 'text') return answer.text()
  const text = await answer.text()
  try {
    return text ? JSON.parse(text) : null
  } catch (error) {
    if (as === 'json') throw new TypeError('what answers there is no region', { cause: error })
    return { message: text.slice(0, 200) }
  }
}
