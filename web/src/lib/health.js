// How well a region serves us, judged by what comes back. Pure: every function takes the time.
//
// A dark data centre is silent: it drops packets, it does not refuse them. So waiting for an error is waiting for
// ever. We learn how long a region usually takes, and suspect it when it has been silent a little beyond that. A
// suspected region gets only probes, and comes back when it has answered calmly for a while: without that lull the
// crowd that left returns at once and fells it again.
//
// A region that leaves a request unanswered which another one answered, while its health checks pass, is *gray*: only
// answers to the kind of request that it left unanswered count as calm.

export const SILENCE_MS = 400 // beyond expectation: long enough for a lost packet's retransmission, short for a person
export const PATIENCE_MAX_MS = 1500 // whatever a region's habit, a viewer does not wait longer before we look elsewhere
export const CALM_MS = 8000 // answering without a miss this long before we return
const CALM_ANSWERS = 4 // and at least this many answers, so that one lucky probe is not a calm
const GAIN = 0.2 // weight of the newest sample, as in TCP's round-trip estimate

export function fresh() {
  return { success: 1, latency: 120, spread: 60, suspectedAt: null, gray: false, calmSince: null, calmAnswers: 0, lastOk: null }
}

/** A region answered after `ms`; `feed`: a feed request, which is what a gray one must show that it answers. */
export function answered(h, ms, now, feed = false) {
  h.success += GAIN * (1 - h.success)
  h.spread += GAIN * (Math.abs(ms - h.latency) - h.spread)
  h.latency += GAIN * (ms - h.latency)
  h.lastOk = now
  if (h.suspectedAt === null || (h.gray && !feed)) return h
  h.calmSince ??= now
  h.calmAnswers += 1
  if (now - h.calmSince >= CALM_MS && h.calmAnswers >= CALM_ANSWERS) Object.assign(h, { suspectedAt: null, gray: false })
  return h
}

/** Another region answered what this one leaves unanswered. */
export function beaten(h, now) {
  h.gray = true
  return missed(h, now)
}

/** A region refused, broke off, or was silent beyond our patience: look elsewhere from now on. */
export function missed(h, now) {
  h.success += GAIN * (0 - h.success)
  h.suspectedAt ??= now
  h.calmSince = null
  h.calmAnswers = 0
  return h
}

/** How long (ms) to wait for an answer before suspecting. */
export function patience(h) {
  return Math.min(h.latency + 3 * h.spread + SILENCE_MS, PATIENCE_MAX_MS)
}

/** When (ms) a second copy of a read is worth its price: slower than nearly all answers so far. */
export function hedgeAfter(h) {
  return Math.min(h.latency + 2 * h.spread, patience(h) / 2)
}

export function healthy(h) {
  return h.suspectedAt === null
}

/** Answering again, but not yet for long enough to be trusted while there is another. */
export function recovering(h) {
  return h.suspectedAt !== null && h.calmSince !== null
}
