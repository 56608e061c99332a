// Where the device keeps its key, its outbox and what it has seen: localStorage, one drawer per jurisdiction.
//
// Two tabs with one key would both number their entries from the same counter. So the first tab takes a lock and owns
// the drawers; any other tab lives in memory, as a device of its own. Where there are no locks (a page that came by
// plain http from another machine), each tab is a device of its own for as long as it lives.

export class Store {
  constructor(backing) {
    this.backing = backing // Storage, or a Map's equivalent
  }

  /** Open the device's store: the lasting one if no other tab holds it. */
  static async open() {
    if (!navigator.locks) return new Store(window.sessionStorage)
    return new Store((await firstTab()) ? window.localStorage : memory())
  }

  get(drawer, name, otherwise = null) {
    try {
      const text = this.backing.getItem(`holdfast.${drawer}.${name}`)
      return text === null ? otherwise : JSON.parse(text)
    } catch {
      return otherwise
    }
  }

  set(drawer, name, value) {
    try {
      this.backing.setItem(`holdfast.${drawer}.${name}`, JSON.stringify(value))
    } catch {
      this.backing = memory(this.backing) // a full or forbidden store: go on in memory
      this.backing.setItem(`holdfast.${drawer}.${name}`, JSON.stringify(value))
    }
  }
}

export function memory(from = null) {
  const map = new Map()
  for (let i = 0; from && i < (from.length ?? 0); i += 1) map.set(from.key(i), from.getItem(from.key(i)))
  return { getItem: (k) => map.get(k) ?? null, setItem: (k, v) => map.set(k, v) }
}

function firstTab() {
  return new Promise((resolve) => {
    const hold = (lock) => {
      resolve(lock !== null)
      return lock && new Promise(() => {}) // held until the tab closes
    }
    navigator.locks.request('holdfast-device', { ifAvailable: true }, hold).catch(() => resolve(true))
  })
}
