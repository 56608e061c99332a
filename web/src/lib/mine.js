// What a viewer asks about themselves, and what can be asked for. Each throws when no region in question answers.

import { FOR_YOU, asking } from './wishes.js'

/** What a region of ours makes of this viewer, in their words and its own: `GET /v1/me/interests`. */
export const interests = (client) => client.mine('/v1/me/interests')

/** Why `item` is not in the feed: `POST /v1/feed/why-not`. */
export function whyNot(client, item, which = FOR_YOU) {
  const { me } = client
  return client.mine('/v1/feed/why-not', { item, n: 10, context: me.events(client.now()), seen: me.seen, ...asking(which) })
}

/** My videos, newest first, and how the first viewers of each come: `GET /v1/me/videos`. */
export const myVideos = (client) => client.mine('/v1/me/videos')

/** What a topic feed can be about, the largest first: `GET /v1/topics`, without a token. */
export const topics = async (client) => (await client.open('/v1/topics')).topics
