// What an app may write, and what it may not: checked by the compiler, never run.
import { sendReceipts } from '../receipts.js'
import { channelName, createRoomcast, type Arrival } from '../roomcast.js'

declare const pusher: unknown, supabase: unknown

const url = 'https://app.fly.dev'
const rooms = createRoomcast({ pusher, supabase, url, onSeen: sendReceipts({ url, supabase }) })
createRoomcast({ pusher, url, onSeen: (s: Arrival) => s.event.data?.roomcast?.seq })
const room = rooms.join('lobby', { after: 42 })
rooms.join(7, { after: { seq: 1, epoch: 'k3f9' } })
rooms.join('lobby', { channel: 'packed' })
createRoomcast({ pusher, url, channel: 'packed' })
const off: () => void = room.on('new-message', (m) => m.roomcast?.seq)
room.on('live', () => {})
room.on('reset', ({ reason }) => reason === 'epoch')
room.on('*', (data, name) => name === 'denied' && data)
off()
rooms.setMode('both')
rooms.setMode()
channelName('private', room.id)

// @ts-expect-error: no such mode
rooms.setMode('fax')
// @ts-expect-error: no such channel
rooms.join('lobby', { channel: 'fax' })
interface Message { id: string; content: string }
const typed = createRoomcast<Message>({ pusher, supabase, url }).join('lobby')
typed.on('new-message', (m) => m.content.trim() + m.roomcast?.seq)
typed.on('message-deleted', (m) => m.id)
typed.on('new-reaction', (r: { emoji: string }) => r.emoji)
typed.on<{ name: string }>('client-typing', (data, _, from) => data.name + from?.user_id)
typed.send('typing', { name: 'Ada' })
typed.members.map(({ id }) => id)
rooms.me().on('room-activity', ({ room, seq }) => room + seq)
rooms.on('status', ({ status, since }) => status === 'polling' && since)
rooms.wake()

// @ts-expect-error: no such column
typed.on('new-message', (m) => m.contents)
// @ts-expect-error: the url is needed
createRoomcast({ pusher })
// @ts-expect-error: a room's status is not the app's to set
room.status = 'live'
