// The user's list of rooms: GET /me/rooms and POST /rooms/{room}/read.

import type { Requests } from './requests.js'
import type { InboxRoom } from './types.js'

export async function readInbox(requests: Requests): Promise<InboxRoom[]> {
  const { rooms } = await requests.send(() => ({ path: '/me/rooms', check: (answer) => Array.isArray(answer?.rooms) }))
  return rooms
}

export async function markRead(requests: Requests, room: string, seq: number): Promise<void> {
  const init = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ seq }) }
  await requests.send(() => ({ path: `/rooms/${encodeURIComponent(room)}/read`, init, check: () => true }))
}
