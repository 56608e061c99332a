// The control room's wire: power switches and the audience's counters. It exists only in a demo on one's own machine.

import { again } from './again.js'

const POLL_MS = 700

export class Control {
  constructor(notify) {
    Object.assign(this, { notify, after: 0 })
  }

  /** Learn whether this page was served by a control room; its state if so, else null. */
  async find() {
    try {
      const answer = await fetch('./control/state', { cache: 'no-store', signal: AbortSignal.timeout(2500) })
      return answer.ok ? await answer.json() : null
    } catch {
      return null
    }
  }

  watch() {
    again(async () => {
      const state = await this.find()
      if (state) this.notify('state', state)
      await this.#events()
    }, POLL_MS)
  }

  async #events() {
    try {
      const answer = await fetch(`./control/events?after=${this.after}`, { cache: 'no-store', signal: AbortSignal.timeout(2500) })
      if (!answer.ok) return
      const { events } = await answer.json()
      if (!events.length) return
      this.after = Math.max(...events.map((e) => e.n))
      this.notify('events', events)
    } catch {
      // the control room is busy; the next turn asks again
    }
  }

  async power(region, on) {
    const body = JSON.stringify({ region, on, mode: 'silent' })
    const answer = await fetch('./control/power', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body })
    if (!answer.ok) throw new Error(`the switch of ${region} did not move (HTTP ${answer.status})`)
  }
}
