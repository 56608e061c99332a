// What the page says, in one place. Plain, short, no blame; a state is a shape and a word, never colour alone. Pure.

export const RUNGS = ['FULL', 'STALE', 'LINEAR', 'REGIONAL', 'SHELF', 'DEVICE']

/** What each rung means to a person: `is` in a line, what still works, what does not. */
export const MEANING = {
  FULL: { is: 'Everything is working.', works: ['A feed chosen for you, moment by moment', 'Likes, comments, uploads'], not: [] },
  STALE: {
    is: 'Chosen for you by an older model.',
    works: ['A feed chosen for you', 'Likes, comments, uploads'], not: ['The model has not learned from the last hours'],
  },
  LINEAR: {
    is: 'Chosen for you by what people watch together.',
    works: ['A feed that follows your last fifty acts', 'Likes, comments, uploads'], not: ['The larger model that looks further back'],
  },
  REGIONAL: {
    is: 'Showing what people here like.',
    works: ['Popular videos, none of them twice', 'This device orders them by what you just watched'], not: ['A choice made for you by a region'],
  },
  SHELF: {
    is: 'Showing the last published shelf.',
    works: ['Approved videos from a signed list', 'This device orders them by what you just watched'], not: ['New videos', 'A choice made for you by a region'],
  },
  DEVICE: {
    is: 'No region answers. Playing what this device holds.',
    works: ['Swiping: this device chooses by what you just watched', 'Likes and comments: they wait here and are sent by themselves'],
    not: ['New videos', 'Comments of others', 'Uploads'],
  },
}

/** The plain feed is chosen, not fallen to: what it is, in the same form. */
export const PLAIN = {
  is: 'Not shaped to you, as you chose.',
  works: ['What people here like now, none of it twice', 'Likes, comments, uploads'],
  not: [],
}

const NOT_YET = 'Showing what people here like. Watch a few, and it follows you.'
const SHAPED = ['STALE', 'LINEAR'] // rungs whose words say that it was chosen for the viewer

/** What a slate means to a person; one for a `stranger`, of whom nothing is known yet, was not chosen for them. */
export function meaningOf({ rung, feed, stranger }) {
  if (feed === 'plain' && rung === 'REGIONAL') return PLAIN
  return stranger && SHAPED.includes(rung) ? { ...MEANING[rung], is: NOT_YET } : MEANING[rung]
}

// where a video was found, by the name of the source; a source without a line of its own has said all in the sentence
const FOUND = {
  following: 'Found among the videos of those you follow.',
  linear: 'Found among what others watched after videos that you watched.',
  retrieved: 'Found by the model, from the order of what you watched.',
  trending: 'Found among what people here like now.',
  debut: 'Found among what is new here.',
  told: 'Found because of what you said in My interests.',
}
export const NEXT = 'others who watched the same went on to it' // a region's words for that part of the score
const BELOW = ['REGIONAL', 'SHELF', 'DEVICE'] // there, what the rung is says where it was found

/**
 * Below the sentence of a video's `why`: what its `slate`'s rung is, and where the video was found. What others watch
 * together is named only where it weighed something: LINEAR offers its list to a stranger, too.
 */
export function foundOf({ source, features }, slate) {
  const { is } = meaningOf(slate)
  if (slate.stranger && ['linear', 'retrieved'].includes(source)) return slate.rung === 'FULL' ? `${is} Found by the model.` : is
  if (source === 'linear' && !(features ?? []).some((f) => f.name === NEXT && f.value > 0)) return ''
  return `${is} ${BELOW.includes(slate.rung) && source === 'trending' ? '' : FOUND[source] ?? ''}`.trim()
}

/** In place of interests when there are none to show: `acted` is whether the viewer has watched or liked anything. */
export const noTaste = (acted) =>
  acted ? 'Nothing stands out yet. Likes of one theme show soonest.' : 'Nothing yet. Watch a few to the end, or like one.'

export function clockTime(ms) {
  return new Date(ms).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hour12: false })
}

export function exactTime(ms) {
  return new Date(ms).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false })
}

/** A span in words: "3 s", "2 min", "4 h". */
export function span(seconds) {
  if (!Number.isFinite(seconds)) return 'unknown'
  if (seconds < 1) return 'under 1 s'
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`
}

export function count(n) {
  return n >= 10_000 ? `${(n / 1000).toFixed(n >= 100_000 ? 0 : 1)}k` : String(n)
}

const things = (n) => (n === 1 ? '1 thing you did waits' : `${n} things you did wait`)

/**
 * The rung mark's line. `state`: {rung, via, region, home, jurisdiction, feed, out: [{name, since}], waiting}.
 * Returns {line, tone}: tone is well | degraded | lost; an empty line means that the mark is only a dot or ticks.
 */
export function badge({ rung, via, region, home, jurisdiction, feed = 'for_you', out = [], waiting = 0 }) {
  const gone = out.find((r) => r.name === home && r.name !== region)
  const since = gone ? ` since ${clockTime(gone.since)}` : ''
  if (rung === 'DEVICE') {
    const kept = waiting ? ` ${things(waiting)} here and will be sent.` : ' Keep swiping.'
    return { line: `No region answers${since}. Playing what this device holds.${kept}`, tone: 'lost' }
  }
  if (via === 'foreign') {
    const kept = waiting ? ` ${things(waiting)} here.` : ''
    const line = `Your region does not answer${since}. Public videos from ${region}, ordered on this device; nothing about you leaves the ${jurisdiction}.${kept}`
    return { line, tone: 'degraded' }
  }
  if (gone) return { line: `${home} does not answer${since}. Your feed goes on from ${region}; your likes are kept.`, tone: 'degraded' }
  if (feed === 'plain' && rung === 'REGIONAL') return { line: '', tone: 'well' } // by choice: nothing is degraded
  if (RUNGS.indexOf(rung) >= RUNGS.indexOf('REGIONAL')) return { line: MEANING[rung].is, tone: 'degraded' }
  return { line: '', tone: 'well' }
}

/** One region's card, in a word. `power`: on | off | starting | undefined. */
export function regionWord(power, healthy, heard) {
  if (power === 'off') return { word: 'dark', tone: 'lost', shape: '×' }
  if (power === 'starting') return { word: 'starting', tone: 'degraded', shape: '◐' }
  if (!heard) return { word: 'not heard yet', tone: 'degraded', shape: '◐' }
  return healthy ? { word: 'serving', tone: 'well', shape: '●' } : { word: 'no answer', tone: 'lost', shape: '×' }
}

/** Why a video is not in one's feed, said to the viewer, by the filter that removed it. */
const KEPT_OUT = {
  seen: 'You have seen it, and nothing comes twice while there is something new.',
  in_hand: 'It is in the list this device was given a moment ago, so it is on its way.',
  excluded: 'It is already among the next videos on this device.',
  hidden: 'You said that you are not interested in it.',
  own: 'It is your own.',
  never: 'You asked never to see its creator or one of its themes.',
  feed: 'It does not belong in the feed you have chosen.',
}

/** The answer of `why-not` in a sentence or two. */
export function whyNot(answer) {
  if (answer.state === 'unknown') return 'No video of this name is known here.'
  if (answer.state === 'offered') return `It is in your feed: number ${answer.place} of what comes next.`
  if (answer.state === 'ranked') return `It may come: for you it stands at place ${answer.place} now. What stands before it speaks to you more.`
  if (answer.state === 'behind') return 'It may come, but many others speak to you more now.'
  return KEPT_OUT[answer.filter] ?? answer.sentence
}

const NOT_SHOWN = {
  ask: 'It waits for a person who decides.',
  limit: 'It is shown to those who follow you, and in no feed beyond.',
  age: 'It is marked as not for everyone, so no feed offers it yet.',
  remove: 'It was ruled away.',
}

/**
 * What a creator reads of a video's first viewers. `video`: {verdict, reasons, published, debut: {state, met, owed, words, since}}.
 * `now`: µs since 1970. Returns {word, shape, tone, line, ticks}: whether ticks are drawn.
 */
export function debutOf({ verdict, reasons, debut }, now) {
  const { state, met, owed, words, since } = debut
  const after = span(Math.max(0, (now - since) / 1e6))
  if (state === 'waiting') {
    const why = (reasons ?? []).join(' ')
    const line = NOT_SHOWN[verdict] ? `${NOT_SHOWN[verdict]}${why ? ` ${why}` : ''}` : 'It is being checked. Its first viewers come after that.'
    return { word: verdict === 'remove' ? 'not shown' : verdict === 'limit' || verdict === 'age' ? 'limited' : 'waiting', shape: verdict === 'remove' ? '×' : '◐', tone: verdict === 'remove' ? 'lost' : 'degraded', line, ticks: false }
  }
  if (state === 'running') {
    const line = owed < 20 ? words : met ? `${met} of its first ${owed} viewers, in ${after}.` : `None of its first ${owed} viewers yet, after ${after}.`
    return { word: 'meeting its first viewers', shape: '◐', tone: 'sky', line, ticks: true }
  }
  if (state === 'reached') return { word: 'first viewers reached', shape: '●', tone: 'well', line: words, ticks: true }
  if (state === 'stopped') return { word: 'on its own merit', shape: '○', tone: 'degraded', line: words, ticks: true }
  return { word: 'first day over', shape: '○', tone: 'quiet', line: words, ticks: true }
}

/** A part of why: what it says, and how it weighed. A chance is said as one in a hundred. */
export function part({ name, value, chance }) {
  if (chance === null || chance === undefined) return name
  const percent = chance * 100
  return `${name}: ${percent < 1 ? 'under 1' : Math.round(percent)} in 100`
}

/** The video that `text` names: an id, or an address with `?item=`; null if it is neither. */
export function itemIn(text) {
  const named = text.trim().match(/[?&]item=([^&#\s]+)/)
  const item = named ? named[1] : text.trim() // an id needs no escapes, so an escaped one is none
  return /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$/.test(item) ? item : null
}
