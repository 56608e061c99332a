// Which region gets a request, and what of it may be said there. Pure.
//
// The fence comes first: what is personal goes only to regions under the viewer's own law. A foreign region is asked
// for a longer public list, and gets no token, no context and no seen list; the device filters and ranks.

import { healthy, recovering } from './health.js'

export const EXTRA_SHARE = 0.05 // attempts beyond the first, per request: second copies and tries after a failure alike
export const SAVED_MAX = 8 // saved up, because what is open at a region that goes dark must move at once
export const KEPT = 4 // of these, for such moves: no second copy of a slow read may have them
const SLOW_FACTOR = 4 // a nearer region keeps us unless it is this many times worse than another
export const PUBLIC_LIST = 40 // how many items to ask of a foreign region: what is seen is dropped here, not there

const cost = (h) => h.latency / Math.max(h.success, 0.05)

/**
 * Regions to try for a personal request, best first; empty when all permitted ones are out.
 * `regions`: [{name, jurisdiction, url}] nearest first; `health`: {name: record}.
 */
export function permitted(regions, health, jurisdiction, now = 0) {
  const awake = (r) => (health[r.name].restUntil ?? 0) <= now // one that has too much to do is left alone as it asks
  return usable(regions.filter((r) => r.jurisdiction === jurisdiction && awake(r)), health)
}

/** Regions of other jurisdictions, for public requests only. */
export function foreign(regions, health, jurisdiction) {
  return usable(regions.filter((r) => r.jurisdiction !== jurisdiction), health)
}

function usable(regions, health) {
  const well = regions.filter((r) => healthy(health[r.name]))
  const pool = well.length ? well : regions.filter((r) => recovering(health[r.name]))
  if (pool.length < 2) return pool
  const cheapest = Math.min(...pool.map((r) => cost(health[r.name])))
  const slow = (r) => (cost(health[r.name]) > SLOW_FACTOR * Math.max(cheapest, 60) ? 1 : 0)
  return [...pool].sort((a, b) => slow(a) - slow(b)) // stable: nearest first among the well
}

/** What a feed request may say to a region of `there` when the viewer lives in `here`. */
export function fence(request, here, there) {
  if (here === there) return { body: request, token: true }
  return { body: { n: PUBLIC_LIST }, token: false }
}

/** A budget for attempts beyond the first: every request saves a twentieth of one. */
export class Budget {
  constructor() {
    this.saved = SAVED_MAX
  }
  earn() {
    this.saved = Math.min(this.saved + EXTRA_SHARE, SAVED_MAX)
  }
  /** Take one out for a second copy of a slow read. */
  hedge() {
    return this.saved >= KEPT + 1 && this.retry()
  }
  /** Take one out for another region after a failure or silence. */
  retry() {
    if (this.saved < 1) return false
    this.saved -= 1
    return true
  }
}

/** Full jitter: a wait drawn evenly from nothing up to a bound that doubles. `chance` in [0, 1). */
export function fullJitter(attempt, chance, base = 300, cap = 8000) {
  return chance * Math.min(cap, base * 2 ** Math.min(attempt, 10))
}
