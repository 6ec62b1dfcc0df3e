// A room's messages in React, before, during and after the move: the same 30 lines.
//
//   const { messages, status } = useRoom(rooms, supabase, roomId)
//
// It joins first and loads the table afterwards, so that nothing falls between the
// two, and keys what it has by id, so that what both bring is there once. In strict
// mode React runs the effect twice: the first room is left, the second stays.
import { useEffect, useState } from 'react'

export function useRoom(rooms, supabase, roomId) {
  const [messages, setMessages] = useState(new Map())
  const [status, setStatus] = useState('loading')

  useEffect(() => {
    const room = rooms.join(roomId)
    const put = (...rows) => setMessages((old) => new Map([...old, ...rows.map((m) => [m.id, m])]))
    const deleted = new Set() // also while loading
    const gone = ({ id }) => {
      deleted.add(id)
      setMessages((old) => new Map([...old].filter(([k]) => k !== id)))
    }
    const load = async () => {
      const { data, error } = await supabase.from('messages').select().eq('room_id', roomId).order('created_at').limit(200)
      if (room.status === 'left') return // another room by now
      // What came while this was loading is newer than what was loaded.
      if (!error) setMessages((live) => new Map([...data.filter((m) => !deleted.has(m.id)).map((m) => [m.id, m]), ...live]))
      setStatus(error ? 'failed' : 'ready')
    }
    room.on('new-message', put)
    room.on('message-updated', put)
    room.on('message-deleted', gone)
    room.on('denied', () => setStatus('denied'))
    room.on('reset', () => (setMessages(new Map()), load()))
    load()
    return () => (room.leave(), setMessages(new Map()))
  }, [rooms, supabase, roomId])

  return { messages: [...messages.values()], status }
}
