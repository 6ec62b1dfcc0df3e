// The grammar of channel names; shared/event owns it, and testdata/channels.json holds
// both to the same cases.

import type { ChannelKind } from './types.js'

const PREFIXES: Record<ChannelKind, string> = {
  private: 'private-room-',
  presence: 'presence-room-',
  encrypted: 'private-encrypted-room-',
  public: 'room-',
  packed: 'private-packed-room-',
}

const LONGEST = 164 // characters of a channel's name: Pusher's limit

/** A room's channel, to bind plain handlers to. Throws a RangeError for a room that has none. */
export function channelName(kind: ChannelKind, room: string): string {
  const name = PREFIXES[kind] + escape(room)
  if (!PREFIXES[kind] || !room || name.length > LONGEST) throw new RangeError('roomcast: this room has no channel')
  return name
}

/** A user's own channel. Only uuids have one; they are spelled in lower case. */
export function userChannelName(user: string): string {
  return 'private-user-' + user.toLowerCase()
}

// Each byte of UTF-8 as =XX, but for what may stand in a name.
function escape(room: string) {
  return encodeURIComponent(room)
    .replace(/%(40|2C|3B)/g, decodeURIComponent)
    .replace(/[!'()*~]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase())
    .replace(/%/g, '=')
}
