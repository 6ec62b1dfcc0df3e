// The dual run's evidence: sends what rooms count to the function, which keeps it for
// the parity certificate (GET /parity). Goes with mode 'both', and when that is over:
//
//   import { createRoomcast } from 'https://app.fly.dev/roomcast.js'
//   import { sendReceipts } from 'https://app.fly.dev/receipts.js'
//
//   const url = 'https://app.fly.dev'
//   const rooms = createRoomcast({ pusher, supabase, url, onSeen: sendReceipts({ url, supabase }) })
//
// It counts new messages: edits, deletions and members are not for both sides to bring in
// every case. It sends numbers only, about once a minute and room, less often when the
// function is asked by many, and nothing where nothing happened. What cannot be sent is
// kept, added up, and tried again; it is lost when the page is closed. A message counts half a
// minute after it came by the first side, and from the first one on that came by both.

import type { Sighting } from './roomcast.d.ts'

export interface SendOptions {
  /** Where the function is, without a slash at the end. */
  url: string
  /** The app's own supabase-js 2, for its session. */
  supabase?: any
  /** The user's access token, in place of supabase's; renew asks for a newer one than the last. */
  token?: (renew?: boolean) => Promise<string | undefined>
  /** Seconds between two receipts of a room, at least. Default 60. */
  every?: number
  /** Seconds after which a side has missed an event that the other one brought. Default 30. */
  grace?: number
}

/** Returns what to give to createRoomcast as onSeen. */
export function sendReceipts(options: SendOptions): (sighting: Sighting) => void
