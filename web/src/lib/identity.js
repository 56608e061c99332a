// A device's key, and the proof that it holds it. No name, no address: a region knows a viewer by an alias it derives.

import { ed25519 } from '@noble/curves/ed25519.js'

/** base64url without padding: the one spelling used in tokens and keys. */
export function b64(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

function unb64(text) {
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0))
}

export class Identity {
  constructor(secret) {
    this.secret = secret
    this.key = b64(ed25519.getPublicKey(secret))
  }

  /** The device's key in this jurisdiction, made on first use: keys of two jurisdictions cannot be linked. */
  static load(store, jurisdiction) {
    const kept = store.get(jurisdiction, 'key')
    const secret = kept ? unb64(kept) : ed25519.utils.randomSecretKey()
    if (!kept) store.set(jurisdiction, 'key', b64(secret))
    return new Identity(secret)
  }

  /** The body of POST /v1/devices. */
  proof(jurisdiction, stamp_s) {
    const message = new TextEncoder().encode(`holdfast-device-v1\n${jurisdiction}\n${stamp_s}\n`)
    return { key: this.key, jurisdiction, stamp_s, proof: b64(ed25519.sign(message, this.secret)) }
  }
}
