import { createClient } from '@supabase/supabase-js'
import Pusher from 'pusher-js'
import { createRoomcast, type Roomcast } from 'roomcast'
import { sendReceipts } from 'roomcast/receipts'

export interface Message {
  id: string
  room_id: string
  content: string
  created_at: string
}

const url = 'https://roomcast.example'

export const supabase = createClient('https://project.example', 'sb_publishable_example', {
  // Node before 22, which prerenders the page, has no WebSocket of its own.
  realtime: typeof WebSocket === 'undefined' ? { transport: class {} as never } : {},
})

let made: Roomcast<Message> | undefined

/** Made once, when the first component asks in the browser; null on a server. */
export function rooms(): Roomcast<Message> | null {
  if (typeof window === 'undefined') return null
  const token = async () => (await supabase.auth.getSession()).data.session?.access_token
  return (made ??= createRoomcast<Message>({
    pusher: new Pusher('key', { cluster: 'eu' }),
    supabase,
    url,
    onSeen: sendReceipts({ url, token }),
  }))
}
