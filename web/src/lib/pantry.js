// Food for the dark: the bytes of the next videos, kept on the device, each part checked against its sha256.
//
// Players ask the pantry, never the network. So prefetch, failover per fragment and the DEVICE rung are one mechanism:
// a part that is here is here; a part that is not is fetched from whichever region answers, and wrong bytes are as good
// as none. What was used longest ago goes first.

import { sha256 } from '@noble/hashes/sha2.js'

export const PANTRY_BYTES = 64 * 1024 * 1024 // about a hundred clips of six seconds; a phone's tab can spare it
const PART_DEADLINE_MS = 8000 // beyond this a viewer has swiped on

export class Pantry {
  /** `ask(path, as)` fetches from some region and resolves to {region, answer: {data}}. */
  constructor(ask, limit = PANTRY_BYTES) {
    Object.assign(this, { ask, limit, parts: new Map(), size: 0, pending: new Map(), ready: new Map() })
  }

  /** Bytes of `path`, from here or from a region. */
  async get(path) {
    const kept = this.parts.get(path)
    if (kept) {
      this.parts.delete(path)
      this.parts.set(path, kept) // newest use last
      return kept
    }
    if (!this.pending.has(path)) {
      this.pending.set(path, this.#fetch(path).finally(() => this.pending.delete(path)))
    }
    return this.pending.get(path)
  }

  async #fetch(path) {
    const genuine = (bytes) => {
      if (sound(path, bytes)) return bytes
      throw new TypeError(`${path}: the bytes do not match their name`)
    }
    const bytes = await this.ask(path, genuine, PART_DEADLINE_MS)
    this.parts.set(path, bytes)
    this.size += bytes.byteLength
    for (const [old, b] of this.parts) {
      if (this.size <= this.limit || old === path) break
      this.parts.delete(old)
      this.size -= b.byteLength
      this.#spoil(old)
    }
    return bytes
  }

  #spoil(path) {
    for (const [item, entry] of this.ready) if (entry.paths.includes(path)) this.ready.delete(item)
  }

  /** Lay in every part of `item`; resolves when it could be played with no region at all. */
  async stock(item) {
    if (this.ready.has(item.item) || !item.playlist) return
    const text = new TextDecoder().decode(await this.get(item.playlist))
    const paths = [...new Set(partsOf(text).map((uri) => resolve(uri, item.playlist)))]
    for (const path of paths) await this.get(path)
    if (item.poster) await this.get(item.poster)
    this.ready.set(item.item, { item, paths: [item.playlist, ...paths] })
  }

  /** Videos that can be played without any region. */
  playable() {
    return [...this.ready.values()].map((x) => x.item)
  }

  has(item) {
    return this.ready.has(item)
  }
}

/** Addresses named in an HLS media playlist. */
export function partsOf(playlist) {
  const lines = playlist.split('\n').map((l) => l.trim())
  const init = lines.filter((l) => l.startsWith('#EXT-X-MAP')).map((l) => /URI="([^"]+)"/.exec(l)?.[1])
  return [...init, ...lines.filter((l) => l && !l.startsWith('#'))].filter(Boolean)
}

export function resolve(uri, path) {
  return new URL(uri, `http://any.invalid${path}`).pathname
}

function sound(path, bytes) {
  const named = /\/v1\/blobs\/([0-9a-f]{64})$/.exec(path)
  if (!named) return true
  const digest = sha256(new Uint8Array(bytes))
  return named[1] === Array.from(digest, (b) => b.toString(16).padStart(2, '0')).join('')
}
