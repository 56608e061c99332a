// What was just watched, turned into weights on themes: how the device ranks when no region may or can. Pure.
//
// Deliberately small: the last fifty events, newest heaviest, each theme of the video taking its share. It is the
// whole model of the DEVICE rung, and it also re-ranks public lists, so that a foreign region need know nothing.

export const CONTEXT_MAX = 50 // events carried in a request; see the design's section on the feed
const FADE = 0.94 // per event: the fiftieth weighs a twentieth of the newest
const WORTH = { like: 3, share: 3, follow: 2, comment: 2, skip: -1.2, hide: -5, unlike: -3 }
const QUICK_SHARE = 0.35 // swiped away before this share of it was watched: a skip
const QUICK_MS = 2500
const FAVOUR = 0.4 // a like of a video that shares half its themes
const SAME_THEME_PRICE = 0.6 // per neighbour of the same theme among the last two: variety, but taste wins

/** Worth of one event; a view is worth what was watched of it, and nothing at a third. */
export function worth(event) {
  if (event.action !== 'view') return WORTH[event.action] ?? 0
  const share = Math.min(1.5, event.dwell_ms / Math.max(event.duration_ms || 6000, 1000))
  return share - 0.33
}

/** Whether to swipe `item` away after `dwell_ms` is to skip it; what is liked has been answered, however short the look. */
export function skips(item, dwell_ms) {
  return !item.liked && dwell_ms < Math.min(QUICK_MS, QUICK_SHARE * (item.duration_ms || 7000))
}

/** Weights of themes from `events` [{action, dwell_ms, duration_ms, tags}], newest last. */
export function weights(events) {
  const out = {}
  const liked = new Set(events.filter((e) => e.action === 'like').map((e) => e.item))
  let fade = 1
  for (const event of [...events].reverse()) {
    const least = event.action === 'view' && liked.has(event.item) ? 0 : -Infinity // a short look takes no like back
    const said = Math.max(least, worth(event))
    for (const tag of event.tags ?? []) out[tag] = (out[tag] ?? 0) + (fade * said) / event.tags.length
    fade *= FADE
  }
  return out
}

/** Order `items` [{tags, creator}] by taste, with some variety. Greedy, stable, nothing dropped. */
export function rerank(items, taste) {
  const left = items.map((item, i) => ({ item, score: score(item, taste) - i * 0.001 }))
  const out = []
  while (left.length) {
    const recent = out.slice(-2).map((x) => x.tags?.[0])
    const value = (x) => x.score - SAME_THEME_PRICE * recent.filter((t) => t && t === x.item.tags?.[0]).length
    let best = 0
    for (let i = 1; i < left.length; i += 1) if (value(left[i]) > value(left[best])) best = i
    out.push(left.splice(best, 1)[0].item)
  }
  return out
}

function score(item, taste) {
  const tags = item.tags ?? []
  return tags.reduce((sum, t) => sum + (taste[t] ?? 0), 0) / Math.max(tags.length, 1)
}

/**
 * A `fresh` slate beside what is still in `hand`: what the viewer now favours of the latter comes early, what they now
 * dislike goes, the rest follows. A region takes for granted that what it gave is in hand, and will not give it again.
 */
export function blend(fresh, hand, taste) {
  const favoured = hand.filter((i) => score(i, taste) > FAVOUR)
  const rest = hand.filter((i) => Math.abs(score(i, taste)) <= FAVOUR)
  const out = fresh.flatMap((item, i) => (i % 2 || !favoured.length ? [item] : [favoured.shift(), item]))
  return [...out, ...favoured, ...rest]
}

/** Shares for the strip "what it thinks you like": positive weights only, summing to 1. */
export function shares(taste, max = 8) {
  const liked = Object.entries(taste).filter(([, w]) => w > 0.05).sort((a, b) => b[1] - a[1]).slice(0, max)
  const sum = liked.reduce((s, [, w]) => s + w, 0)
  return liked.map(([tag, w]) => ({ tag, weight: w / sum }))
}

/** What the device shows: unseen first by taste, then the longest unseen. `lastSeen`: {item: order}. */
export function deviceOrder(items, taste, lastSeen) {
  const fresh = items.filter((i) => !(i.item in lastSeen))
  const old = items.filter((i) => i.item in lastSeen).sort((a, b) => lastSeen[a.item] - lastSeen[b.item])
  return { items: [...rerank(fresh, taste), ...old], fresh: fresh.length }
}
