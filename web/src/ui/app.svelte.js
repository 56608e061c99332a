// The page's state, wired in one place: client → feed → what is shown; control room → cards, switches, events.

import { Client } from '../lib/client.js'
import { Control } from '../lib/control.js'
import { healthy } from '../lib/health.js'
import * as outbox from '../lib/outbox.js'
import { loaderFor } from '../lib/player.js'
import { Store } from '../lib/store.js'
import { shares } from '../lib/taste.js'
import { FEEDS, FOR_YOU, instead } from '../lib/wishes.js'
import { upload } from '../lib/upload.js'
import { badge, exactTime } from '../lib/words.js'
import { Feed } from './feed.svelte.js'

const BEAT_ROOM_MS = 900 // the control room watches every region; a phone need not
const BEAT_PHONE_MS = 3000
const EVENTS_MAX = 60
const HISTORY = 90 // points of a sparkline: about eighty seconds
const TOAST_MS = 4200
const SAID_MS = 1500 // longer than that a turn of the feed does not wait for what was just said
const FOLD_MS = 120 // from acknowledged to folded, with room

export class App {
  ready = $state(false)
  feed = $state.raw(null)
  jurisdiction = $state(null)
  regions = $state.raw([]) // [{name, jurisdiction, url}]
  status = $state.raw({}) // region -> Status
  history = $state.raw({}) // region -> [success]
  out = $state.raw([]) // [{name, since}]
  room = $state.raw(null) // /control/state, or null
  events = $state.raw([])
  waiting = $state.raw({ waiting: 0, acked: 0, refused: 0 })
  taste = $state.raw([])
  acted = $state(false) // has watched or liked anything
  sheet = $state(null) // rung | why | comments | upload | videos | interests | topics | null
  muted = $state(true)
  paused = $state(false)
  toasts = $state.raw([])
  job = $state.raw(null) // the upload in hand
  theme = $state('dark')

  badge = $derived(badge({
    rung: this.feed?.slate?.rung ?? 'FULL', via: this.feed?.slate?.via, region: this.feed?.slate?.region, home: this.home,
    jurisdiction: this.jurisdiction, out: this.out, waiting: this.waiting.waiting, feed: this.feed?.slate?.feed,
  }))
  instead = $derived(this.feed ? instead(this.feed.which, this.feed.slate?.feed, this.feed.slate?.rewatch && this.feed.current?.slate === this.feed.slate.slate) : '')

  get home() {
    return this.regions.find((r) => r.jurisdiction === this.jurisdiction)?.name
  }

  /** The region the viewer is served by, or null on DEVICE. */
  get here() {
    return this.feed?.slate?.via === 'device' ? null : this.feed?.slate?.region ?? null
  }

  async open() {
    window.holdfast = this // the console is part of the demonstration
    this.#dress()
    const store = await Store.open()
    const wish = new URLSearchParams(location.search).get('jurisdiction')
    const kept = store.get('device', 'jurisdiction')
    this.store = store
    this.client = new Client({ store, jurisdiction: wish ?? kept, notify: (what, data) => this.#heard(what, data) })
    this.Loader = loaderFor(this.client.pantry)
    const control = new Control((what, data) => this.#controlled(what, data))
    const state = await control.find()
    if (state) {
      this.control = control
      this.room = state
      this.client.adopt(state.regions.map(({ name, jurisdiction, url }) => ({ name, jurisdiction, url })))
      control.watch()
    } else await this.client.start([location.origin, ...store.get('device', 'regions', []).map((r) => r.url)])
    this.regions = this.client.links.regions
    if (!this.client.me || !this.regions.some((r) => r.jurisdiction === this.client.jurisdiction)) {
      this.client.move(this.regions[0]?.jurisdiction ?? 'US')
    }
    await this.#settleIn(await this.#shared())
    this.#beat()
  }

  /** The video that the page's address names (`?item=`), if it may be shown; said once, then out of the address. */
  async #shared() {
    const here = new URL(location.href)
    const item = here.searchParams.get('item')
    if (item === null) return null
    here.searchParams.delete('item')
    history.replaceState(null, '', here)
    try {
      const found = await this.client.shared(item)
      if (!found) this.toast('The video at this address is not shown here.')
      return found
    } catch {
      this.toast('No region answers, so the video at this address is out of reach.')
      return null
    }
  }

  async #settleIn(first = null) {
    this.jurisdiction = this.client.jurisdiction
    this.waiting = outbox.counts(this.client.me.box)
    this.taste = shares(this.client.me.taste())
    this.feed = new Feed(this.client, this.#chosen())
    this.client.flush()
    await this.feed.open(first)
    this.#tasted()
    this.ready = true
  }

  async #beat() {
    await this.client.beat()
    if (!this.feed.current) await this.feed.open()
    else if (this.feed.short) await this.feed.refill()
    const wait = this.room ? BEAT_ROOM_MS : BEAT_PHONE_MS
    setTimeout(() => this.#beat(), wait * (0.8 + 0.4 * Math.random()))
  }

  /** Be a viewer somewhere else: another key, another outbox. */
  async move(jurisdiction) {
    this.client.move(jurisdiction)
    this.store.set('device', 'jurisdiction', jurisdiction)
    this.note(`You now watch from the ${jurisdiction}, as another device with another key.`)
    await this.#settleIn()
  }

  // -- which feed, and what is said of it ------------------------------------------------------------------------

  /** The feed chosen last on this device: who wants no profiling wants none tomorrow either. */
  #chosen() {
    const kept = this.store.get('device', 'feed', FOR_YOU)
    return FEEDS.some((f) => f.name === kept?.feed) ? kept : FOR_YOU
  }

  async choose(feed, topic = '') {
    const before = this.feed.which
    if (before.feed === feed && before.topic === topic) return
    this.paused = false
    const shown = await this.feed.choose({ feed, topic })
    this.#tasted()
    if (this.feed.which.feed !== feed || this.feed.which.topic !== topic) return // chosen otherwise meanwhile
    if (shown) this.store.set('device', 'feed', { feed, topic })
    else {
      this.feed.which = before
      this.toast('Nothing of that is within reach now.')
    }
  }

  /** More, less or never of a theme or creator: said, swept, and the feed turns once a region knows. */
  async tell(about, name, say) {
    this.client.tell(about, name, say)
    this.feed.sweep()
    await this.#known()
    await this.feed.turn()
    this.#tasted()
  }

  async forget() {
    this.client.forget()
    this.taste = []
    await this.#known()
    await this.feed.turn()
    this.#tasted()
  }

  async unforget() {
    this.client.unforget()
    await this.#known()
    await this.feed.turn()
    this.#tasted()
  }

  /** Wait until what was said has arrived, or a moment. */
  async #known() {
    await Promise.race([this.client.flush(), new Promise((done) => setTimeout(done, SAID_MS))])
    await new Promise((done) => setTimeout(done, FOLD_MS))
  }

  // -- what the client tells -----------------------------------------------------------------------------------

  #heard(what, data) {
    if (what === 'route') this.#routed(data)
    if (what === 'outbox') this.waiting = data
    if (what === 'taste') this.#tastes(shares(data))
    if (what === 'refused' && data) this.toast(`One thing you did was refused: ${data.message}`)
    if (what === 'beat') this.#beaten(data)
  }

  #routed({ region, healthy: well }) {
    const others = this.out.filter((r) => r.name !== region)
    this.out = well ? others : [...others, { name: region, since: Date.now() }]
    const mine = this.client.links.regions.find((r) => r.name === region)?.jurisdiction === this.jurisdiction
    this.note(well ? `${region} has been calm; it is trusted again.` : `${region} fell silent; this app looks elsewhere.`)
    if (this.feed && (mine || this.here === region || !this.here)) this.#reroute()
  }

  async #reroute() {
    const before = this.here
    await this.feed.turn()
    this.#tasted()
    if (this.here !== before) {
      this.note(this.here ? `Your feed goes on from ${this.here}.` : 'No region answers. Your feed goes on from this device.')
    }
  }

  #beaten(status) {
    this.status = { ...status }
    this.history = Object.fromEntries(this.regions.map(({ name }) => {
      const fresh = healthy(this.client.links.health[name]) ? status[name]?.rates?.success ?? 0 : 0
      return [name, [...(this.history[name] ?? []), fresh].slice(-HISTORY)]
    }))
    const stranded = this.feed?.slate && this.feed.slate.via !== 'own' && this.client.own().length
    const dark = this.feed?.slate?.via === 'device' && this.client.abroad().length
    if (stranded || dark) this.#reroute() // somebody answers again
  }

  #tasted() {
    const said = this.feed.slate?.taste ?? []
    this.#tastes(said.length || this.feed.which.feed === 'plain' ? said : shares(this.client.me.taste()))
  }

  #tastes(taste) {
    this.taste = taste
    this.acted = this.client.me.context.length > 0
  }

  #controlled(what, data) {
    if (what === 'state') this.room = data
    if (what === 'events') this.events = [...this.events, ...data.map((e) => ({ ...e, at: e.stamp / 1000 }))].slice(-EVENTS_MAX)
  }

  /** A line of our own among the events. */
  note(text) {
    this.events = [...this.events, { region: 'you', text, level: 'sky', at: Date.now() }].slice(-EVENTS_MAX)
  }

  toast(text) {
    const toast = { text, id: `${exactTime(Date.now())}${Math.random()}` }
    this.toasts = [...this.toasts, toast].slice(-2)
    setTimeout(() => (this.toasts = this.toasts.filter((t) => t !== toast)), TOAST_MS)
  }

  // -- what the viewer does --------------------------------------------------------------------------------------

  async like(item, on = !item.liked) {
    if (item.liked === on) return
    this.feed.change(item, { liked: on, likes: Math.max(0, (item.likes ?? 0) + (on ? 1 : -1)) })
    this.client.say('like', item, { on })
    await this.feed.turn()
    this.#tasted()
  }

  async hide(item) {
    this.client.say('hide', item, { slate: item.slate || undefined })
    this.feed.drop(item)
    this.feed.go(1, true)
    this.toast('Less like this from now on.')
    await this.feed.turn()
    this.#tasted()
  }

  follow(item, on) {
    this.client.say('follow', item, { on })
    this.feed.items.filter((i) => i.creator === item.creator).forEach((i) => this.feed.change(i, { following: on }))
  }

  comment(item, text) {
    this.client.say('comment', item, { text })
    this.feed.change(item, { comments: (item.comments ?? 0) + 1 })
  }

  async share(item) {
    const url = `${location.origin}/?item=${encodeURIComponent(item.item)}`
    this.client.say('share', item)
    try {
      if (navigator.share) await navigator.share({ title: item.caption, url })
      else {
        await navigator.clipboard.writeText(url)
        this.toast('The address is on your clipboard.')
      }
    } catch {
      this.toast(`Address: ${url}`)
    }
  }

  async publish(file, about) {
    this.job = { state: 'sending', sent: 0, size: file.size }
    await upload(this.client, file, about, (job) => (this.job = job))
  }

  async power(region, on) {
    try {
      this.room = { ...this.room, regions: this.room.regions.map((r) => (r.name === region ? { ...r, power: on ? 'starting' : 'off' } : r)) }
      await this.control.power(region, on)
    } catch (error) {
      this.toast(error.message)
    }
  }

  #dress() {
    const wish = new URLSearchParams(location.search).get('theme') ?? localStorage.getItem('holdfast.theme')
    this.wear(wish ?? (matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark'))
  }

  wear(theme) {
    this.theme = theme
    document.documentElement.dataset.theme = theme
    localStorage.setItem('holdfast.theme', theme)
  }
}
