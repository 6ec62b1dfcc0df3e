// The rows of a room as a page shows them, for any framework: loads the table, applies the
// room's events to it, loads older pages, and shows rows that are being sent.
//
// It loads the table at the start, to show something, and again when the room is live: only
// the second answer has all rows before the first event. Events that came while a query ran
// are newer than its answer.

import type { AnyRow, JoinOptions, Room, Roomcast, Status } from './types.js'

export interface ListOptions<R = AnyRow> {
  /** Reads rows from their table: the newest `limit` rows, or those before `before`, in any order. */
  load: (range: { limit: number; before?: R }) => Promise<R[]>
  /** Writes a row given to `send` to its table; rejects if the database refuses it. */
  write?: (row: R) => Promise<unknown>
  /** The name in the table's events: 'message' by default; 'reaction' for new-reaction and so on. */
  name?: string
  /** What identifies a row. Default row.id. */
  id?: (row: any) => unknown
  /** The order, oldest first. Default by created_at, then id. */
  compare?: (a: R, b: R) => number
  /** Rows in a page. Default 50. */
  limit?: number
  /** Options for `rooms.join`. */
  join?: JoinOptions
}

export interface ListView<R = AnyRow> {
  /** Oldest first; rows that are being sent come last. */
  rows: R[]
  /** `loading` until the first rows are there; `failed` if the last load failed; `denied` if the user may not read the room. */
  status: 'loading' | 'ready' | 'failed' | 'denied'
  /** Rows that are being sent, by id; with `error` if the database refused them. */
  sending: ReadonlyMap<unknown, { row: R; error?: unknown }>
  /** There may be older rows: see `loadOlder`. */
  hasOlder: boolean
  isLoadingOlder: boolean
  /** How events come at the moment: the client's status. */
  connection: Status['status']
}

/** A list of rows that a page shows and changes. */
export interface List<R = AnyRow> {
  get(): ListView<R>
  /** Calls fn after each change. The list joins the room while it has a subscriber. */
  subscribe(fn: () => void): () => void
  /** Replaces the options. */
  configure(options: ListOptions<R>): void
  loadOlder(): Promise<void>
  /** Shows the row at once and writes it; its event replaces it. The page makes the id, as with crypto.randomUUID(). */
  send(row: R): Promise<void>
  /** Writes a refused row again. */
  retry(id: unknown): Promise<void>
  /** Removes a refused row from the list. */
  discard(id: unknown): void
  /** The room itself, for signals and members; undefined without a subscriber. */
  room(): Room | undefined
}

export const EMPTY: ListView<any> = Object.freeze({
  rows: [], status: 'loading', sending: new Map(), hasOlder: false, isLoadingOlder: false, connection: 'offline',
} as ListView<any>)

export function createList<R = AnyRow>(rooms: Roomcast<any> | null | undefined, room: string | number, options: ListOptions<R>): List<R> {
  const list = new RowList<R>(rooms, room, options)
  return {
    get: () => list.view,
    subscribe: (fn) => list.subscribe(fn),
    configure: (changed) => void (list.options = changed),
    loadOlder: () => list.loadOlder(),
    send: (row) => list.send(row),
    retry: (id) => list.retry(id),
    discard: (id) => list.discard(id),
    room: () => list.room,
  }
}

class RowList<R> {
  view: ListView<R> = EMPTY
  room?: Room
  private listeners = new Set<() => void>()
  private rows = new Map<unknown, R>()
  private touched = new Map<unknown, number>() // the row's last event, by their order
  private clock = 0
  private edits = new Map<unknown, R>() // of rows that are not loaded
  private sending = new Map<unknown, { row: R; error?: unknown }>()
  private latest = 0 // load: an older one may answer later
  private off: (() => void)[] = []

  constructor(private rooms: Roomcast<any> | null | undefined, private id: string | number, public options: ListOptions<R>) {}

  subscribe(fn: () => void) {
    this.listeners.add(fn)
    if (this.listeners.size === 1) this.start()
    return () => {
      this.listeners.delete(fn)
      if (!this.listeners.size) this.stop()
    }
  }

  private start() {
    if (!this.rooms) return // on a server, or before it is made
    const name = this.options.name ?? 'message'
    const room = this.room = this.rooms.join(this.id, this.options.join)
    room.on(`new-${name}`, (row: R) => this.put(row, true))
    room.on(`${name}-updated`, (row: R) => this.put(row, false))
    room.on(`${name}-deleted`, (row: R) => this.remove(row))
    room.on('live', () => this.load())
    room.on('denied', () => this.change({ status: 'denied' }))
    room.on('reset', () => this.reload())
    this.off = [this.rooms.on('status', ({ status }) => this.change({ connection: status })), () => room.leave()]
    this.change({ connection: this.rooms.status })
    void this.load()
  }

  private stop() {
    this.off.splice(0).forEach((fn) => fn())
    this.room = undefined
    this.forget()
    this.sending.clear()
    this.view = EMPTY
  }

  private forget() {
    this.latest++
    for (const map of [this.rows, this.touched, this.edits]) map.clear()
  }

  private reload() {
    this.forget()
    this.change({ status: 'loading', hasOlder: false })
    void this.load()
  }

  /** The newest page takes the place of all that is shown. */
  private async load() {
    const began = this.clock, mine = ++this.latest, { limit = 50, load } = this.options
    try {
      const found = await load({ limit })
      if (mine !== this.latest) return
      for (const id of [...this.rows.keys()]) if (!this.isNewer(id, began)) this.rows.delete(id)
      this.add(found, began)
      this.change({ status: 'ready', hasOlder: found.length >= limit })
    } catch {
      if (mine === this.latest) this.change({ status: 'failed' })
    }
  }

  async loadOlder() {
    const began = this.clock, mine = this.latest, { limit = 50, load } = this.options
    const before = this.sorted()[0]
    if (this.view.isLoadingOlder || !this.view.hasOlder || !before) return
    this.change({ isLoadingOlder: true })
    let hasOlder = true
    try {
      const found = await load({ limit, before })
      if (mine !== this.latest) return
      this.add(found, began)
      hasOlder = found.length >= limit
    } finally {
      this.change({ isLoadingOlder: false, ...mine === this.latest && { hasOlder } })
    }
  }

  private add(found: R[], began: number) {
    for (const row of found) {
      const id = this.idOf(row)
      if (!this.isNewer(id, began)) this.rows.set(id, row)
      else if (this.edits.has(id)) this.rows.set(id, this.edits.get(id)!)
      this.edits.delete(id)
      this.sending.delete(id)
    }
  }

  private isNewer(id: unknown, began: number) {
    return (this.touched.get(id) ?? 0) > began
  }

  private put(row: R, isNew: boolean) {
    const id = this.idOf(row)
    this.touched.set(id, ++this.clock)
    this.sending.delete(id)
    if (isNew || this.rows.has(id)) this.rows.set(id, row)
    else this.edits.set(id, row) // of a row above the loaded ones: it is not drawn before it is loaded
    this.change({})
  }

  private remove(row: R) {
    const id = this.idOf(row)
    this.touched.set(id, ++this.clock)
    this.rows.delete(id)
    this.edits.delete(id)
    this.change({})
  }

  async send(row: R) {
    const id = this.idOf(row)
    if (!this.rows.has(id)) this.sending.set(id, { row })
    this.change({})
    try {
      await this.options.write?.(row)
      this.room?.expect(id)
    } catch (error) {
      if (this.sending.has(id)) this.sending.set(id, { row, error })
      this.change({})
    }
  }

  async retry(id: unknown) {
    const { row } = this.sending.get(id) ?? {}
    if (row) await this.send(row)
  }

  discard(id: unknown) {
    this.sending.delete(id)
    this.change({})
  }

  private idOf(row: R): unknown {
    return this.options.id ? this.options.id(row) : (row as any).id
  }

  private sorted(): R[] {
    return [...this.rows.values()].sort(this.options.compare ?? byTime)
  }

  private change(changed: Partial<ListView<R>>) {
    const sending = new Map(this.sending)
    const rows = [...this.sorted(), ...[...sending.values()].map(({ row }) => row)]
    this.view = { ...this.view, ...changed, rows, sending }
    for (const fn of [...this.listeners]) fn()
  }
}

function byTime(a: any, b: any) {
  return Date.parse(a.created_at) - Date.parse(b.created_at) || (a.id < b.id ? -1 : 1)
}
