// A change may come by both sides, Pusher and Supabase, in any order: both share one entry.

/** A change of the room, as the client keeps it. */
export interface Entry {
  /** What identifies the row. */
  id: unknown
  name: string
  data: any
  seq?: number
  /** Supabase's commit timestamp. */
  commit?: string
  /** Which of Supabase's streams brought it. */
  stream?: number
  pusher?: boolean
  supabase?: boolean
  fetched?: boolean
  /** Its place among all that were held. */
  turn?: number
  shown?: boolean
}

const MOST = 1000 // entries kept

export class Pairs {
  private entries: Entry[] = []

  constructor(private key: (row: any) => unknown) {}

  /** The entry for an event by Pusher. */
  byPusher(name: string, data: any): Entry {
    const entry = this.like(name, data).find((e) => !e.pusher) ?? this.add(name, data)
    entry.pusher = true
    return entry
  }

  /**
   * The entry for an event by Supabase; undefined for a repeat. Only another stream
   * repeats: in one stream equal events of one transaction are changes of their own.
   */
  bySupabase(name: string, data: any, commit: string, stream: number): Entry | undefined {
    const like = this.like(name, data)
    if (like.some((e) => e.commit === commit && e.stream !== undefined && e.stream !== stream)) return
    const entry = like.find((e) => !e.supabase) ?? this.add(name, data)
    return Object.assign(entry, { supabase: true, commit, stream })
  }

  /** Has anything come of this row? */
  knows(id: unknown) {
    return this.entries.some((e) => e.id === id)
  }

  clear() {
    this.entries.length = 0
  }

  private like(name: string, data: any) {
    const id = this.key(data)
    return this.entries.filter((e) => e.name === name && e.id === id && (name !== 'message-updated' || isSame(e.data, data)))
  }

  private add(name: string, data: any) {
    const entry: Entry = { id: this.key(data), name, data }
    this.entries.push(entry)
    if (this.entries.length > MOST) this.entries.shift()
    return entry
  }
}

// In what both have; the two write times differently.
function isSame(a: any, b: any) {
  const text = (v: any) => typeof v === 'string' && /^\d{4}-\d\d-\d\d[ T]/.test(v) ? +new Date(v) : JSON.stringify(v)
  return Object.keys(a).every((k) => !(k in b) || text(a[k]) === text(b[k]))
}
