// A hybrid logical clock on the device: stamps that never run backwards and that follow the region's time.
//
// A phone's clock may be minutes off, and the door refuses stamps more than a second ahead. So each answer that names
// the region's `now` teaches an offset; the exchange with the shortest round trip is the most exact one.

const AHEAD_MAX_US = 1_000_000 // the door refuses stamps further ahead than this
const AGE_MAX_US = 30 * 86_400 * 1_000_000 // and older than this

export class Clock {
  constructor(last = 0) {
    this.last = last
    this.offset = 0 // microseconds to add to the device's clock
    this.tightest = Infinity // shortest round trip so far, microseconds
  }

  /** Learn from an answer: `now` is the region's clock (µs), `sent` and `received` ours (ms). */
  learn(now, sent, received) {
    const trip = (received - sent) * 1000
    if (!Number.isSafeInteger(now) || trip > this.tightest * 1.5 + 5000) return
    this.tightest = Math.min(trip, this.tightest)
    this.offset = Math.round(now - (sent * 1000 + trip / 2))
  }

  /** The region's time now, in microseconds, as far as we know it. */
  adjusted(ms) {
    return Math.round(ms * 1000) + this.offset
  }

  /** The newest stamp (µs) that a region would take now; null until one has told the time. */
  latest(ms) {
    return this.tightest < Infinity ? this.adjusted(ms) + AHEAD_MAX_US : null
  }

  /** Whether a stamp is so old that no region will ever take it. */
  aged(stamp, ms) {
    return this.tightest < Infinity && stamp < this.adjusted(ms) - AGE_MAX_US
  }

  /** A new stamp (µs), greater than every earlier one; but one that ran ahead of the regions is not followed. */
  tick(ms) {
    const latest = this.latest(ms)
    if (latest !== null && this.last > latest) this.last = 0 // no region took what bore it
    this.last = Math.max(this.last + 1, this.adjusted(ms))
    return this.last
  }
}
