// A room's messages in React, before, during and after the move: the same 30 lines.
//
//   const { messages, status } = useRoom(rooms, supabase, roomId)
//
// It loads the table twice: at once, for something to show, and when the room is live.
// Only the second is sure to join up with the events: a room starts where it is when the
// function answers, and what was written between the first query and that moment is in
// neither. A load replaces the one before; events lie on top of it, by id, so that what
// both bring is there once, and what was deleted meanwhile stays away. In strict mode
// React runs the effect twice: the first room is left, the second stays.
import { useEffect, useState } from 'react'

export function useRoom(rooms, supabase, roomId) {
  const [loaded, setLoaded] = useState([])
  const [events, setEvents] = useState(new Map()) // by id: the row, or nothing if it is deleted
  const [status, setStatus] = useState('loading')

  useEffect(() => {
    const room = rooms.join(roomId)
    const put = (id, row) => setEvents((old) => new Map(old).set(id, row))
    const clear = () => (setLoaded([]), setEvents(new Map()), setStatus('loading'))
    let latest // query: an older one may answer later
    const load = async () => {
      const query = latest = supabase.from('messages').select().eq('room_id', roomId).order('created_at', { ascending: false }).limit(200)
      const { data, error } = await query
      if (query !== latest) return
      if (!error) setLoaded(data.reverse())
      setStatus(error ? 'failed' : 'ready')
    }
    room.on('new-message', (m) => put(m.id, m))
    room.on('message-updated', (m) => put(m.id, m))
    room.on('message-deleted', ({ id }) => put(id))
    room.on('denied', () => setStatus('denied'))
    room.on('reset', () => (clear(), load()))
    room.on('live', load)
    load()
    return () => (room.leave(), latest = undefined, clear())
  }, [rooms, supabase, roomId])

  const rows = new Map([...loaded.map((m) => [m.id, m]), ...events])
  return { messages: [...rows.values()].filter(Boolean), status }
}
