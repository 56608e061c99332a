// What this device knows and keeps of its viewer under one jurisdiction: key, token, outbox, recent events, seen list.
//
// One object per jurisdiction, so that a request in flight can never mix two: whoever lives in the EU today and in the
// US tomorrow is two people to the regions.

import { Identity } from './identity.js'
import * as outbox from './outbox.js'
import { CONTEXT_MAX, weights } from './taste.js'
import { lean, told } from './wishes.js'

export const SEEN_MAX = 2000 // as many as a request may carry
const UNDO_MS = 600_000 // as a region: so long can a past be taken up again

export class Person {
  constructor(store, jurisdiction, now = Date.now()) {
    const read = (name, otherwise) => store.get(jurisdiction, name, otherwise)
    this.store = store
    this.jurisdiction = jurisdiction
    const known = read('key', null) !== null
    this.identity = Identity.load(store, jurisdiction)
    this.token = read('token', null)
    this.box = read('outbox', null) ?? outbox.empty()
    outbox.afresh(this.box)
    // what was stored may be older than what was sent (a full store, another tab): a number is never given twice
    if (known) this.box.next = Math.max(this.box.next, Math.floor(now) * 1000)
    this.stamp = read('stamp', 0)
    this.context = read('context', []) // events, newest last
    this.seen = read('seen', []) // item ids, oldest first
    this.liked = read('liked', []) // oldest first
    this.following = read('following', [])
    this.told = read('told', {}) // what was said of themes and creators
    this.aside = read('aside', null) // {at, context}: what a reset laid aside
    if (this.aside && now - this.aside.at > UNDO_MS) this.aside = null
  }

  keep(...names) {
    for (const name of names) this.store.set(this.jurisdiction, name === 'box' ? 'outbox' : name, this[name])
  }

  /** `item` came on screen. */
  show(item) {
    this.seen = [...this.seen.filter((i) => i !== item.item), item.item].slice(-SEEN_MAX)
    this.keep('seen')
  }

  /** Write down an act: into the outbox with `stamp` (µs), and into the recent events at `now` (ms). */
  record(kind, item, more, stamp, now) {
    const target = kind === 'follow' ? { creator: item.creator } : { item: item.item }
    outbox.add(this.box, { kind, ...target, ...more }, stamp)
    this.stamp = stamp
    if (kind === 'like') this.liked = toggled(this.liked, item.item, more.on !== false)
    if (kind === 'follow') this.following = toggled(this.following, item.creator, more.on !== false)
    const undone = more.on === false
    const context = undone ? this.context.filter((e) => e.item !== item.item || e.action !== kind) : this.context
    const event = {
      item: item.item, action: undone ? `un${kind}` : kind, dwell_ms: more.dwell_ms ?? 0,
      duration_ms: item.duration_ms ?? 0, at: now, tags: item.tags ?? [],
    }
    this.context = [...context, event].slice(-CONTEXT_MAX)
    this.keep('box', 'stamp', 'context', 'liked', 'following')
  }

  taste() {
    return lean(weights(this.context), this.told)
  }

  /** Whether nothing is known of this viewer: nothing done, nothing said. */
  get stranger() {
    return !this.context.length && !this.following.length && !Object.keys(this.told).length
  }

  /** Say more, less or never of a theme or creator (`learned` takes it back). */
  tell(about, name, say, stamp) {
    outbox.add(this.box, { kind: 'interest', about, name, say }, stamp)
    this.stamp = stamp
    this.told = told(this.told, about, name, say)
    this.keep('box', 'stamp', 'told')
  }

  /** Have nothing chosen by what was done up to `stamp`; what was seen and said stays. */
  forget(stamp, now) {
    outbox.add(this.box, { kind: 'reset', before: stamp - 1 }, stamp)
    this.stamp = stamp
    this.aside = { at: now, context: this.context }
    this.context = []
    this.keep('box', 'stamp', 'context', 'aside')
  }

  /** Until when (ms) `unforget` brings the past back; 0 if it does not. */
  undoUntil(now) {
    return this.aside && now - this.aside.at < UNDO_MS ? this.aside.at + UNDO_MS : 0
  }

  unforget(stamp) {
    outbox.add(this.box, { kind: 'reset', before: 0 }, stamp)
    this.stamp = stamp
    this.context = [...(this.aside?.context ?? []), ...this.context].slice(-CONTEXT_MAX)
    this.aside = null
    this.keep('box', 'stamp', 'context', 'aside')
  }

  /** The recent events as a feed request carries them. */
  events(now) {
    return this.context.filter((e) => !e.action.startsWith('un')).map((e) => ({
      item: e.item, action: e.action, dwell_ms: e.dwell_ms, duration_ms: e.duration_ms,
      age_s: Math.max(0, Math.round((now - e.at) / 1000)),
    }))
  }

  lastSeen() {
    return Object.fromEntries(this.seen.map((item, i) => [item, i]))
  }
}

function toggled(list, value, on) {
  const without = list.filter((x) => x !== value)
  return on ? [...without, value].slice(-SEEN_MAX) : without
}
