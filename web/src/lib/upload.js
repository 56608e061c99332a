// Publishing from the page: a resumable upload (tus 1.0) that says in words where it is.
//
// The region acknowledges an offset when the bytes are on its disk. If it falls silent we wait with jitter and ask for
// the offset again; if another permitted region answers meanwhile, the same file starts there under the same key, from
// which every region derives the same item: at most one publication comes of it.

import { fullJitter } from './router.js'

const CHUNK = 512 * 1024 // lost work is at most this; small enough to show progress on a phone's uplink
const PATIENCE_MS = 12_000 // for one chunk: half a megabyte at 350 kbit/s
const ELSEWHERE_AFTER = 3 // misses in a row before we begin again in another region
const WATCH_MS = 700
const TUS = { 'Tus-Resumable': '1.0.0' }

export const WORDS = {
  choosing: 'Choose a video to publish.',
  sending: 'Sending. You can keep watching; this goes on by itself.',
  paused: 'Your region does not answer. The upload goes on by itself when it does.',
  moved: 'Your region does not answer. Sending the video to another one.',
  receiving: 'Received in part.',
  checking: 'Received. Checking that we can read it.',
  transcoding: 'Making versions that play everywhere.',
  published: 'Published. It is on its way into feeds, in every region.',
  waiting: 'Published, and waiting for a person to look at it before it is shown.',
  refused: 'Refused.',
}

/** Upload `file` with {caption, tags}; calls `tell({state, sent, size, reason, hint, item})`. Resolves when it is over. */
export async function upload(client, file, about, tell) {
  const key = `k-${crypto.getRandomValues(new Uint32Array(3)).reduce((s, x) => s + x.toString(36), '')}`
  const job = { key, at: null, stale: '', sent: 0, size: file.size }
  const say = (state, more = {}) => tell({ state, sent: job.sent, size: file.size, ...more })
  say('sending')
  for (let misses = 0; ; misses += 1) {
    try {
      await send(client, job, file, about, () => {
        misses = 0
        say('sending')
      })
      return await watch(client, job, say)
    } catch (error) {
      if (error.status && error.status < 500 && ![401, 404, 409, 429].includes(error.status)) {
        return say('refused', { reason: error.message, hint: error.data?.hint ?? '' })
      }
      if (error.status === 401) job.stale = job.at?.token ?? ''
      if (error.status === 404 || error.status === 401) job.at = null
      const moving = misses >= ELSEWHERE_AFTER
      if (moving) job.at = null
      say(moving ? 'moved' : 'paused')
      await new Promise((r) => setTimeout(r, 200 + fullJitter(Math.min(misses, 4), Math.random())))
    }
  }
}

async function send(client, job, file, about, told) {
  if (!job.at) await begin(client, job, file, about)
  else if ((await speak(client, job, job.at.path, {})).data.state !== 'receiving') job.sent = job.size // only the answer was lost
  else job.sent = Number((await speak(client, job, job.at.path, { method: 'HEAD', as: 'text' })).headers.get('Upload-Offset'))
  told()
  while (job.sent < job.size) {
    const body = file.slice(job.sent, job.sent + CHUNK)
    const headers = { 'Upload-Offset': String(job.sent), 'Content-Type': 'application/offset+octet-stream' }
    const answer = await speak(client, job, job.at.path, { method: 'PATCH', headers, body, as: 'text' })
    job.sent = Number(answer.headers.get('Upload-Offset'))
    told()
  }
}

async function begin(client, job, file, { caption, tags }) {
  const { region, token } = await client.credentials(job.stale)
  job.at = { region, token }
  job.sent = 0
  const facts = { filename: file.name, caption, tags: tags.join(','), key: job.key }
  const headers = {
    'Upload-Length': String(file.size),
    'Upload-Metadata': Object.entries(facts).filter(([, v]) => v).map(([k, v]) => `${k} ${b64(v)}`).join(','),
  }
  const answer = await speak(client, job, '/v1/uploads', { method: 'POST', headers, as: 'text' })
  job.at.path = new URL(answer.headers.get('Location'), region.url).pathname
}

async function watch(client, job, say) {
  for (;;) {
    const { data } = await speak(client, job, job.at.path, {})
    const asked = data.state === 'published' && data.verdict && !['allow', 'limit', 'age'].includes(data.verdict)
    say(asked ? 'waiting' : data.state, { reason: data.reason, hint: data.hint, item: data.item })
    if (data.state === 'published' || data.state === 'refused') return
    await new Promise((r) => setTimeout(r, WATCH_MS))
  }
}

function speak(client, job, path, { headers = {}, ...more }) {
  const signal = AbortSignal.timeout(PATIENCE_MS)
  return client.links.call(job.at.region, path, { headers: { ...TUS, ...headers }, token: job.at.token, signal, ...more })
}

function b64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)))
}
