// What an app has once: its pusher-js, its session, and Roomcast. The test's world tells
// by the address where everything is; in an app these are constants.
import Pusher from 'pusher-js'
import { createRoomcast, type Roomcast } from 'roomcast'

export interface Message {
  id: string
  content: string
  created_at: string
}

let rooms: Roomcast<Message> | null = null

/** Made in the browser, when it is first needed: on a server there is nothing to listen to. */
export function getRooms(): Roomcast<Message> | null {
  if (rooms || typeof window === 'undefined') return rooms
  const settings = new URLSearchParams(window.location.search)
  const [wsHost, wsPort] = settings.get('pusher')!.split(':')
  const pusher = new Pusher(settings.get('key')!, { cluster: '', wsHost, wsPort: Number(wsPort), forceTLS: false, enabledTransports: ['ws'] })
  rooms = createRoomcast<Message>({ pusher, supabase: quiet, mode: 'both', url: window.location.origin, token: signIn })
  return rooms
}

// In the place of supabase-js, and brings nothing. What listens to it is a module of its own
// in the package, which the app's tool makes a file of.
const channel: object = { on: () => channel, subscribe: () => channel }
const quiet = { channel: () => channel, removeChannel: () => {} }

let session: Promise<{ access_token: string }> | undefined

async function signIn() {
  session ??= fetch('/world/login', { method: 'POST', body: JSON.stringify({ User: 'app' }) }).then((response) => response.json())
  return (await session).access_token
}

/** The chat's table: here it is empty, and writing goes to the test's world. */
export const load = async (): Promise<Message[]> => []

export const write = (room: string) => (row: Message) =>
  fetch('/world/commit', { method: 'POST', body: JSON.stringify({ Room: room, ID: row.id, Op: 'INSERT', Content: row.content }) })
