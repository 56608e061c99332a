// What comes from outside and becomes an address: an item named in the page's own address, an address named in an item.

export const ITEM = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$/
const SHOWN = ['allow', 'limit'] // `limit` is not recommended, but whoever has its address may see it

/** An item's page (`GET /v1/items/{item}`) as a slate carries it; null if it may not be shown or has nothing to show. */
export function shownOf(page) {
  if (!page || !ITEM.test(page.item) || !SHOWN.includes(page.verdict) || !(page.media || link(page.url))) return null
  const { media, verdict, ...item } = page
  const playlist = media ? `/v1/items/${page.item}/index.m3u8` : null
  return {
    ...item, playlist, poster: media ? `/v1/blobs/${media.poster}` : null, width: media?.width ?? 0, height: media?.height ?? 0,
    why: { source: 'shared', score: 0, sentence: 'You opened the address of this video.', features: [] },
  }
}

/** `url` if a page may link to it, else nothing: an address can be a program (`javascript:`). */
export function link(url) {
  return /^https?:\/\//i.test(url ?? '') ? url : undefined
}
