import { useState } from 'react'
import { useRoom } from 'roomcast/react'
import { getRooms, load, write, type Message } from './rooms'

export function Room({ id }: { id: string }) {
  const [rooms] = useState(getRooms)
  const { rows, status, connection, sending, send, room } = useRoom<Message>(rooms, id, { load, write: write(id) })
  const say = () => send({ id: crypto.randomUUID(), content: 'from the app', created_at: new Date().toISOString() })
  return (
    <main data-status={status} data-connection={connection} data-mode={room()?.mode}>
      <button onClick={say}>Say</button>
      <ol>
        {rows.map((m) => (
          <li key={m.id} className={sending.has(m.id) ? 'sending' : 'sent'}>{m.content}</li>
        ))}
      </ol>
    </main>
  )
}
