// The dual run's evidence: sends what rooms count to the function, which keeps it for
// the parity certificate (GET /parity). Goes with mode 'both', and when that is over:
//
//   import { createRoomcast } from 'https://app.fly.dev/roomcast.js'
//   import { sendReceipts } from 'https://app.fly.dev/receipts.js'
//
//   const url = 'https://app.fly.dev'
//   const rooms = createRoomcast({ pusher, supabase, url, onReceipt: sendReceipts({ url, supabase }) })
//
// It sends numbers only, about once a minute and room, less often when the function is
// asked by many, and nothing where nothing happened. What cannot be sent is kept, added
// up, and tried again; it is lost when the page is closed.

import type { Receipt } from './roomcast.d.ts'

export interface SendOptions {
  /** Where the function is, without a slash at the end. */
  url: string
  /** The app's own supabase-js 2, for its session. */
  supabase?: any
  /** The user's access token, in place of supabase's; renew asks for a newer one than the last. */
  token?: (renew?: boolean) => Promise<string | undefined>
}

/** Returns what to give to createRoomcast as onReceipt. */
export function sendReceipts(options: SendOptions): (receipt: Receipt) => void
