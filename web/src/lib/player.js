// How hls.js gets its bytes: from the pantry, which asks whichever region answers. So playback fails over per fragment.

import Hls from 'hls.js/light'

const ORIGIN = 'http://any.invalid' // playlists name parts by path; which region serves a part is decided per request

/** Make a loader class for hls.js that reads from `pantry`. */
export function loaderFor(pantry) {
  return class PantryLoader {
    constructor() {
      this.stats = freshStats()
      this.context = null
      this.dropped = false
    }

    load(context, _config, callbacks) {
      this.context = context
      this.stats.loading.start = performance.now()
      const { pathname } = new URL(context.url)
      pantry.get(pathname).then(
        (bytes) => this.dropped || callbacks.onSuccess(this.#answer(bytes), this.#done(bytes), context, null),
        (error) => this.dropped || callbacks.onError({ code: 0, text: error.message }, context, null, this.stats),
      )
    }

    #answer(bytes) {
      const text = this.context.responseType !== 'arraybuffer'
      // hls.js hands buffers to a worker, which empties them: it gets a copy, the pantry keeps the original
      return { url: this.context.url, code: 200, data: text ? new TextDecoder().decode(bytes) : bytes.slice(0) }
    }

    #done(bytes) {
      const now = performance.now()
      this.stats.loading.first ||= now
      this.stats.loading.end = now
      this.stats.loaded = this.stats.total = bytes.byteLength
      return this.stats
    }

    abort() {
      this.dropped = true
      this.stats.aborted = true
    }

    destroy() {
      this.dropped = true
    }

    getCacheAge() {
      return null
    }

    getResponseHeader() {
      return null
    }
  }
}

function freshStats() {
  const span = () => ({ start: 0, first: 0, end: 0 })
  return { aborted: false, loaded: 0, retry: 0, total: 0, chunkCount: 0, bwEstimate: 0, loading: span(), parsing: span(), buffering: span() }
}

/**
 * Attach `item` to `video`. Returns a function that takes it off again.
 * `direct(path)`: an address on some region, for browsers that play HLS themselves and give us no say.
 */
export function attach(video, item, { Loader, direct, failed }) {
  if (!Hls.isSupported()) {
    video.src = direct(item.playlist)
    return () => video.removeAttribute('src')
  }
  const hls = new Hls({
    loader: Loader, maxBufferLength: 15, backBufferLength: 15, startPosition: 0, enableWorker: false,
    manifestLoadPolicy: patient, playlistLoadPolicy: patient, fragLoadPolicy: patient,
  })
  let mended = false
  hls.on(Hls.Events.ERROR, (_, data) => {
    if (!data.fatal) return
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR && !mended) {
      mended = true
      hls.recoverMediaError()
    } else failed(data.details)
  })
  hls.loadSource(ORIGIN + item.playlist)
  hls.attachMedia(video)
  return () => hls.destroy()
}

const patient = {
  default: {
    maxTimeToFirstByteMs: 20_000, maxLoadTimeMs: 20_000, // the pantry has a deadline of its own, and tries every region
    timeoutRetry: { maxNumRetry: 2, retryDelayMs: 200, maxRetryDelayMs: 1000 },
    errorRetry: { maxNumRetry: 3, retryDelayMs: 300, maxRetryDelayMs: 2000 },
  },
}
