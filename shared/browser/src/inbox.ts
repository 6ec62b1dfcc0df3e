// The user's list of rooms: GET /me/rooms and POST /rooms/{room}/read.

import { posted, roomPath, type Requests } from './requests.js'
import type { InboxRoom } from './types.js'

export async function readInbox(requests: Requests): Promise<InboxRoom[]> {
  const { rooms } = await requests.send(() => ({ path: '/me/rooms', check: (answer) => Array.isArray(answer?.rooms) }))
  return rooms
}

export async function markRead(requests: Requests, room: string, seq: number): Promise<void> {
  await requests.send(() => ({ path: roomPath(room) + '/read', init: posted({ seq }), check: () => true }))
}
