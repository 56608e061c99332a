// The feeds a viewer can ask for, and what they say of themes and creators: what the device makes of both. Pure.
//
// A region does all this from its own record. The device does it again where no region may or can: on public lists from
// abroad, which were told nothing, and on what it holds in the dark. And it never shows what was banned a moment ago,
// though the slate in hand was made before.

export const FEEDS = [
  { name: 'for_you', label: 'For You' },
  { name: 'following', label: 'Following' },
  { name: 'topic', label: 'Topics' },
  { name: 'plain', label: 'Plain' },
]
export const FOR_YOU = { feed: 'for_you', topic: '' }
export const SAYS = ['more', 'less', 'never'] // and `learned`: nothing was said
const TOLD_MAX = 300 // as a region keeps
const LEAN = { more: 2, less: -2 } // in the units of `taste.weights`: what was said outweighs a few videos

/** What was said, with `say` of `about` (tag | creator) `name` written in; the newest stand last. */
export function told(before, about, name, say) {
  const { [`${about}:${name}`]: _, ...rest } = before
  const kept = Object.entries(say === 'learned' ? rest : { ...rest, [`${about}:${name}`]: say })
  return Object.fromEntries(kept.slice(-TOLD_MAX))
}

/** What was said of `about` `name`: more | less | never | learned. */
export const saidOf = (said, about, name) => said[`${about}:${name}`] ?? 'learned'

/** Whether `item` is never to be shown. */
export function banned(item, said) {
  return saidOf(said, 'creator', item.creator) === 'never' || (item.tags ?? []).some((t) => saidOf(said, 'tag', t) === 'never')
}

/** Weights of themes with what was said added. */
export function lean(taste, said) {
  const out = { ...taste }
  for (const [key, say] of Object.entries(said)) {
    if (key.startsWith('tag:') && LEAN[say]) out[key.slice(4)] = (out[key.slice(4)] ?? 0) + LEAN[say]
  }
  return out
}

/** What of `items` belongs to the feed asked for: {items, feed}; all of it, as For You, if nothing does. */
export function narrow(items, { feed, topic }, said, following) {
  const open = items.filter((i) => !banned(i, said))
  const fits = { following: (i) => following.includes(i.creator), topic: (i) => (i.tags ?? []).includes(topic) }[feed]
  const kept = fits ? open.filter(fits) : open
  return kept.length ? { items: kept, feed } : { items: open, feed: 'for_you' }
}

/** The fields of a request that name the feed; none for For You. */
export function asking({ feed, topic }) {
  if (feed === 'for_you') return {}
  return feed === 'topic' ? { feed, topic } : { feed }
}

const AGAIN = 'You have seen everything here. Oldest first from now on.'

/** A line when what is served is not what was asked for; empty when it is. */
export function instead({ feed, topic }, served, rewatch = false) {
  if (!served || served === feed) return rewatch ? AGAIN : ''
  if (feed === 'following') return 'Nobody you follow has a video here yet. This is For You.'
  return feed === 'topic' ? `No video about ${topic} is here now. This is For You.` : ''
}
