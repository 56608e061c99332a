// What this device has said and is not yet sure is kept. Pure: a plain state, changed by named steps.
//
//   waiting ──sent, acknowledged──▶ acked(chain, epoch, n) ──covered by `safe`──▶ gone
//      ▲                                   │
//      └────── its region fell silent ─────┘      (ids make sending it again harmless)
//
// Entries are numbered from 1 and sent in that order. A named bad entry is dropped into `refused`, and said.

export const BATCH_MAX = 100 // entries in one request
export const KEPT_MAX = 5000 // beyond this the oldest acknowledged entry goes: a device must not fill up
export const LOCAL_KEEP_MS = 60_000 // where *local* is the strongest state there is, let go after this; as in the Python client
export const DOUBT_MS = 10_000 // what a region says it holds may be this much older than its acknowledgement
export const LAG_MS = 30_000 // how far a region may be behind another before what it lacks is said to it too
const REFUSED_MAX = 20

export function empty() {
  return { next: 1, entries: [], refused: [] }
}

/** Add an entry `body` ({kind, …}) made at `stamp` (µs). Returns its number. */
export function add(box, body, stamp) {
  const outbox = box.next
  box.next += 1
  box.entries.push({ entry: { ...body, outbox, stamp }, ack: null })
  if (box.entries.length > KEPT_MAX) {
    const i = Math.max(0, box.entries.findIndex((e) => e.ack))
    box.entries.splice(i, 1)
  }
  return outbox
}

/** The next entries to send, lowest number first. */
export function batch(box, max = BATCH_MAX) {
  return box.entries.filter((e) => !e.ack).slice(0, max).map((e) => e.entry)
}

const classOf = (kind) => (kind === 'comment' ? 'public' : 'personal')

/**
 * A region acknowledged `entries` as `answer` {chain, epoch, n, strongest, also}: each in the block of its own class.
 * Throws when that is no acknowledgement, or names no block for one of them: then it waits as before. Returns how many
 * were acknowledged for the first time.
 */
export function acknowledge(box, entries, answer, region, now) {
  const blocks = {}
  for (const block of [answer, ...(answer?.also ?? [])]) {
    if (typeof block?.chain !== 'string' || typeof block.epoch !== 'string' || !Number.isSafeInteger(block.n)) {
      throw new TypeError('what answers is no region')
    }
    blocks[block.chain.split('/')[0]] ??= block
  }
  const numbers = new Set(entries.map((e) => e.outbox))
  const mine = box.entries.filter((e) => numbers.has(e.entry.outbox))
  const told = mine.filter((e) => blocks[classOf(e.entry.kind)])
  const first = told.filter((e) => !e.told).length
  for (const e of told) {
    const { chain, epoch, n, strongest } = blocks[classOf(e.entry.kind)]
    Object.assign(e, { ack: { chain, epoch, n, strongest, region, at: now }, told: true })
  }
  if (told.length < mine.length) throw new TypeError('an entry is in none of the blocks named')
  return first
}

/** After a restart nothing counts as acknowledged: its region may be gone, and saying it again is harmless. */
export function afresh(box) {
  for (const e of box.entries) e.ack = null
}

/** Stamp anew, by `stamp()`, what is stamped beyond `latest`: no region has taken it. Returns how many. */
export function restamp(box, latest, stamp) {
  const ahead = box.entries.filter((e) => !e.ack && e.entry.stamp > latest)
  for (const e of ahead) e.entry.stamp = stamp()
  return ahead.length
}

/** Let go of what `answer` {safe, held}, heard from `region`, shows to be kept. Returns how many went. */
export function release(box, answer, region, now) {
  const before = box.entries.length
  box.entries = box.entries.filter((e) => !(e.ack && kept(e.ack, answer, region, now)))
  return before - box.entries.length
}

function kept(ack, answer, region, now) {
  const covers = (marks) => (marks?.[ack.chain]?.[ack.epoch] ?? 0) >= ack.n
  if (covers(answer.safe)) return true
  if (region !== ack.chain.split('/')[1] && covers(answer.held)) return true
  return ack.strongest === 'local' && now - ack.at > LOCAL_KEEP_MS
}

/**
 * What `region` does not hold long after it was acknowledged waits again. Returns how many. The region itself knows
 * after DOUBT_MS: its disk is new, or an older one from a backup. Another may merely be behind, up to LAG_MS.
 */
export function forgotten(box, held, region, now) {
  const gone = ({ chain, epoch, n, at }) =>
    now - at >= (chain.split('/')[1] === region ? DOUBT_MS : LAG_MS) && held?.[chain] && (held[chain][epoch] ?? 0) < n
  const back = box.entries.filter((e) => e.ack && gone(e.ack))
  for (const e of back) e.ack = null
  return back.length
}

/** `region` fell silent: what only it acknowledged waits again. Returns how many. */
export function resend(box, region) {
  const back = box.entries.filter((e) => e.ack?.region === region)
  for (const e of back) e.ack = null
  return back.length
}

/** The door refused one entry for good: drop it, remember why. */
export function refuse(box, outbox, message) {
  const i = box.entries.findIndex((e) => e.entry.outbox === outbox)
  if (i < 0) return null
  const [gone] = box.entries.splice(i, 1)
  const said = { ...gone.entry, message }
  box.refused = [...box.refused, said].slice(-REFUSED_MAX)
  return said
}

export function counts(box) {
  const waiting = box.entries.filter((e) => !e.ack).length
  return { waiting, acked: box.entries.length - waiting, refused: box.refused.length }
}
