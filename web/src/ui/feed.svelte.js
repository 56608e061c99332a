// The queue of videos on screen: where the viewer is in it, what comes next, and when to ask again.
//
// Two verbs. `refill` adds to the end. `turn` replaces everything after the next video, so that a like (or a region
// that fell silent) changes what comes at once, while the video under the finger never jumps.

import { blend, skips } from '../lib/taste.js'
import { banned, FOR_YOU } from '../lib/wishes.js'

const AHEAD_MIN = 4 // fewer than this many left: ask for more
const AHEAD_MAX = 30 // more than this in hand is old opinion
const SLATE = 10
const NEXT_READY = 2 // how many videos ahead are laid in before anything else
const STOCK = 18 // unseen videos to hold against the dark: about two minutes of swiping
const STOCK_THRIFTY = 4 // when the viewer asked the browser to save data
const SHELF_EVERY_MS = 60_000
const VIEW_MIN_MS = 300 // less is a finger passing by

const whole = (_slate, items) => items

export class Feed {
  items = $state.raw([])
  index = $state(0)
  slate = $state.raw(null)
  moves = $state(0)
  which = $state.raw(FOR_YOU) // the feed asked for
  choosing = $state(false)

  constructor(client, which = FOR_YOU) {
    this.which = which
    Object.assign(this, { client, asking: null, again: false, stocking: false, shelved: 0, dwell: 0 })
  }

  get current() {
    return this.items[this.index] ?? null
  }

  /** Fill an empty queue; `first`, if given, is shown before all else. */
  async open(first = null) {
    if (first && !this.current) this.items = [first]
    await this.#ask(whole)
    if (this.current) this.client.me.show(this.current)
  }

  /** Drop everything: another viewer. */
  async reset() {
    this.items = []
    this.index = 0
    await this.open()
  }

  /** Turn to another feed: what is in hand of the old one goes. Resolves to whether there was anything to show. */
  async choose(which) {
    this.which = which
    this.choosing = true
    try {
      const { me } = this.client
      const slate = await this.client.feed(SLATE, [], which)
      if (me !== this.client.me || which !== this.which || !slate.items.length) return false
      this.#leave(false)
      Object.assign(this, { items: slate.items, index: 0, slate })
      this.moves += 1
      me.show(this.current)
      this.#stock()
      return true
    } finally {
      if (which === this.which) this.choosing = false
    }
  }

  /** What was just banned goes, except the video on screen. */
  sweep() {
    const { told } = this.client.me
    this.items = this.items.filter((i, at) => at <= this.index || !banned(i, told))
  }

  refill() {
    return this.#ask(whole)
  }

  /** Few videos lie ahead: there may be new ones by now. */
  get short() {
    return this.items.length - this.index - 1 < AHEAD_MIN
  }

  /** Ask anew for what comes after the next video (after this one, if the next cannot be played), and blend. */
  turn() {
    return this.#ask((slate) => {
      const next = this.items[this.index + 1]
      const keep = next && (slate.via !== 'device' || this.client.pantry.has(next.item)) ? 2 : 1
      return this.items.slice(0, this.index + keep)
    })
  }

  async #ask(base) {
    if (this.asking) {
      this.again ||= base !== whole // a turn asked for meanwhile is done after; a refill needs no second
      return this.asking
    }
    this.asking = this.#answer(base)
    try {
      await this.asking
    } finally {
      this.asking = null
    }
    if (this.again) {
      this.again = false
      await this.turn()
    }
  }

  async #answer(base) {
    const { me, pantry } = this.client
    const { which } = this
    const slate = await this.client.feed(SLATE, this.items.slice(this.index).map((i) => i.item), which)
    if (me !== this.client.me || which !== this.which) return // the viewer moved, or turned to another feed, while we asked
    const before = base(slate, this.items)
    const hand = this.items.slice(before.length).filter((i) => slate.via !== 'device' || pantry.has(i.item))
    const ahead = new Set(this.items.slice(this.index).map((i) => i.item))
    const fresh = slate.items.filter((i) => !ahead.has(i.item))
    const taste = slate.feed === 'plain' ? {} : me.taste()
    this.items = [...before, ...blend(fresh, hand, taste).slice(0, AHEAD_MAX)]
    this.slate = slate
    this.#stock()
  }

  /** Go `by` videos on (or back); writes down how long the one we leave was watched. Returns whether we moved. */
  go(by, quietly = false) {
    const to = this.index + by
    if (to < 0 || to >= this.items.length) {
      if (by > 0) this.turn()
      return false
    }
    this.#leave(by > 0 && !quietly)
    this.index = to
    this.moves += 1
    this.client.me.show(this.current)
    if (this.short) this.refill()
    else this.#stock()
    return true
  }

  /** `ms` more of the current video were watched. */
  watched(ms) {
    this.dwell += ms
  }

  #leave(forward) {
    const { current: item } = this
    const dwell_ms = Math.min(3_600_000, Math.round(this.dwell))
    this.dwell = 0
    if (!item || dwell_ms < VIEW_MIN_MS) return
    const slate = item.slate || undefined
    this.client.say('view', item, { dwell_ms, duration_ms: item.duration_ms || 0, slate, pos: Math.min(this.index, 500) })
    if (forward && skips(item, dwell_ms)) this.client.say('skip', item, { slate })
  }

  /** Change what is known of `item` wherever it stands in the queue. */
  change(item, what) {
    this.items = this.items.map((i) => (i.item === item.item ? { ...i, ...what } : i))
  }

  drop(item) {
    this.items = this.items.filter((i, at) => at <= this.index || i.item !== item.item)
  }

  /** Lay in the next videos, then a stock against the dark, one part at a time. */
  async #stock() {
    if (this.stocking) return
    this.stocking = true
    try {
      for (let item = await this.#wanted(); item; item = await this.#wanted()) await this.client.pantry.stock(item)
    } catch {
      // no region has it now: the next move asks again
    } finally {
      this.stocking = false
    }
  }

  async #wanted() {
    const { pantry } = this.client
    const next = this.items.slice(this.index, this.index + 1 + NEXT_READY)
    const missing = (list) => list.find((i) => i.playlist && !pantry.has(i.item))
    const urgent = missing(next)
    if (urgent) return urgent
    const seen = new Set(this.client.me.seen)
    const target = navigator.connection?.saveData ? STOCK_THRIFTY : STOCK
    if (pantry.playable().filter((i) => !seen.has(i.item)).length >= target) return null
    return missing(this.items.slice(this.index)) ?? this.#fromShelf(seen, missing)
  }

  async #fromShelf(seen, missing) {
    if (Date.now() - this.shelved > SHELF_EVERY_MS) {
      this.shelved = Date.now()
      this.shelf = await this.client.shelf()
    }
    return missing((this.shelf ?? []).filter((i) => !seen.has(i.item))) ?? null
  }
}
