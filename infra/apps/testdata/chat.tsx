'use client'

import { useRoom } from 'roomcast/react'
import { rooms, supabase, type Message } from './rooms'

export function Chat({ room }: { room: string }) {
  const { rows, status, sending, send, loadOlder, hasOlder } = useRoom<Message>(rooms(), room, {
    load: async ({ limit, before }) => {
      let query = supabase.from('messages').select().eq('room_id', room).order('created_at', { ascending: false }).limit(limit)
      if (before) query = query.lt('created_at', before.created_at)
      const { data, error } = await query
      if (error) throw error
      return data as Message[]
    },
    write: async (row) => {
      const { error } = await supabase.from('messages').insert(row)
      if (error) throw error
    },
  })
  const say = () => send({ id: crypto.randomUUID(), room_id: room, content: 'hi', created_at: new Date().toISOString() })
  return (
    <section>
      <p>{status}</p>
      {hasOlder && <button onClick={loadOlder}>Older</button>}
      <ol>
        {rows.map((m) => (
          <li key={m.id} aria-busy={sending.has(m.id)}>
            {m.content}
          </li>
        ))}
      </ol>
      <button onClick={say}>Say hi</button>
    </section>
  )
}
