// Supabase's side of the client, for the time of the move: the plan's modes, and rooms
// whose messages come by Supabase, alone or beside Pusher. It is a module of its own,
// which a page loads only where it may need it: see plan.ts.

import type { Answer } from './plan.js'
import type { RoomState } from './room.js'
import { Side } from './side.js'
import type { Mode } from './types.js'

export type { Side } from './side.js'

export const createSide = (room: RoomState) => new Side(room)

/** A room's own mode, else the user's by their share, else that of all. */
export function modeOf({ rooms, share, mode }: Answer, room: string, user?: string | null): Mode {
  let place = parseInt(user?.slice(0, 8) ?? '', 16) / 2 ** 32 // a uuid begins at random
  const shared = (['pusher', 'both', 'supabase'] as Mode[]).find((m) => (place -= share?.[m] ?? 0) < 0)
  return rooms?.[room] ?? shared ?? mode
}
