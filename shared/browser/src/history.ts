// Fetching what rooms missed. Rooms that want to ask at about the same time ask together:
// POST /events for several, GET /rooms/{room}/events for one, GET /me/events for the
// user's own stream. A room is asked for by one request at a time.

import { backoff } from './platform.js'
import { isRefusal, type Ask, type Failure, type Requests } from './requests.js'

const TOGETHER = 150 // ms: who wants to ask so soon after comes along
const MOST = 100 // rooms in one request
const SEVERAL = 100, ALONE = 200 // events of a room in an answer

/** GET /rooms/{room}/events; without `after`: only where the room is. */
export interface Question {
  after?: number
  epoch?: string
  /** Changes with the user: an answer to another's question is of no use. */
  generation: number
  /** How many events the room had held by then. */
  known: number
}

export interface Page {
  epoch: string
  head: number
  last: number
  events: { name: string; data: any }[]
  more: boolean
  reset: boolean
  /** Seconds between two polls that the function can bear, while Pusher refuses what it publishes. */
  poll?: number
}

/** Who asks: a room, or the user's own stream. */
export interface Reader {
  readonly id: string
  readonly personal: boolean
  /** Nothing if there is nothing to ask any more. */
  question(): Question | undefined
  /** Returns in how many ms to ask again; undefined: all is there. */
  answered(page: Page, question: Question): number | undefined
  /** The function refuses, or answers without sense. (Its failures are told to all rooms by Requests.) */
  failed(err: Failure): void
}

export class History {
  private due = new Map<Reader, number>()
  private busy = new Set<Reader>()
  private failures = new Map<Reader, number>() // in a row
  private timer?: ReturnType<typeof setTimeout>
  private waits = false // for its turn
  private together = true

  constructor(private requests: Requests, private heard: (page: Page) => void) {}

  /** Asks for the reader in about ms, or as soon as it has wanted before. */
  want(reader: Reader, ms = 0) {
    this.due.set(reader, Math.min(this.due.get(reader) ?? Infinity, Date.now() + ms))
    this.schedule()
  }

  /** A request for the reader is under way. */
  isAsking(reader: Reader) {
    return this.busy.has(reader)
  }

  /** What was wanted before is not any more; a page that is under way still comes. */
  forget(reader: Reader) {
    this.due.delete(reader)
    this.failures.delete(reader)
  }

  private schedule() {
    clearTimeout(this.timer)
    if (this.waits) return
    const times = [...this.due].filter(([reader]) => !this.busy.has(reader)).map(([, at]) => at)
    if (times.length) this.timer = setTimeout(() => this.run(), Math.max(0, Math.min(...times) - Date.now()))
  }

  private async run() {
    let batch: Reader[] = [], questions: Question[] = []
    this.waits = true
    try {
      const answer = await this.requests.send(() => {
        this.waits = false
        batch = this.take()
        questions = batch.map((reader) => reader.question()!)
        this.schedule()
        if (batch.length) return this.ask(batch, questions)
      })
      this.waits = false
      batch.forEach((reader) => this.busy.delete(reader))
      batch.forEach((reader, i) => this.deliver(reader, batch.length > 1 ? answer.rooms[reader.id] : answer, questions[i]))
    } catch (err: any) {
      batch.forEach((reader) => this.busy.delete(reader))
      this.refused(batch, err)
    }
    this.schedule()
  }

  /** Whose time has come and who may come along; the user's own stream goes alone. */
  private take(): Reader[] {
    const until = Date.now() + TOGETHER, batch: Reader[] = []
    for (const [reader, at] of [...this.due].sort((a, b) => a[1] - b[1])) {
      if (at > until || batch.length === (this.together && !batch[0]?.personal ? MOST : 1)) break
      if (this.busy.has(reader) || batch.length && reader.personal || batch.some(({ id }) => id === reader.id)) continue
      this.due.delete(reader)
      if (!reader.question()) continue
      batch.push(reader)
      this.busy.add(reader)
    }
    return batch
  }

  private ask(batch: Reader[], questions: Question[]): Ask {
    if (batch.length === 1) {
      const [{ id, personal }] = batch, [question] = questions
      const path = (personal ? '/me' : `/rooms/${encodeURIComponent(id)}`) + '/events?' + query(question)
      return { path, check: (page) => isPage(page, personal ? undefined : id) && getsSomewhere(page, question) }
    }
    const limit = (q: Question) => q.after === undefined ? 0 : SEVERAL
    const rooms = Object.fromEntries(batch.map(({ id }, i) => [id, { after: questions[i].after, epoch: questions[i].epoch, limit: limit(questions[i]) }]))
    const init = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ rooms }) }
    const sense = (answer: any) => batch.some(({ id }, i) => {
      const page = answer.rooms[id]
      return page?.status || isPage(page, id) && getsSomewhere(page, questions[i])
    })
    return { path: '/events', init, check: (answer) => !!answer?.rooms && sense(answer) }
  }

  private deliver(reader: Reader, page: any, question: Question) {
    if (page?.status) return this.fails(reader, Object.assign(new Error(`roomcast: status ${page.status}`), { status: page.status }))
    if (!isPage(page, reader.personal ? undefined : reader.id)) return this.fails(reader, new Error('roomcast: a page without sense'))
    this.failures.delete(reader)
    if (!getsSomewhere(page, question)) return this.want(reader) // the other rooms have filled the answer
    this.heard(page)
    const again = reader.answered(page, question)
    if (again !== undefined) this.want(reader, again)
  }

  /** One room's part of an answer is of no use. */
  private fails(reader: Reader, err: Failure) {
    const tries = (this.failures.get(reader) ?? 0) + 1
    this.failures.set(reader, tries)
    if (!isRefusal(err)) this.want(reader, backoff(tries))
    reader.failed(err)
  }

  /** The whole request failed. When it goes again is not decided here: see Requests. */
  private refused(batch: Reader[], err: Failure) {
    this.waits = false
    const alone = batch.length > 1 && isRefusal(err)
    if (alone && err.status === 404) this.together = false // an older function
    for (const reader of batch) {
      if (alone || !isRefusal(err)) this.want(reader)
      else reader.failed(err)
    }
    if (alone && err.status !== 404) this.together = false
  }
}

function query({ after, epoch }: Question) {
  return after === undefined ? 'limit=0' : `limit=${ALONE}&after=${after}&epoch=${epoch ?? ''}`
}

const isCount = (n: any) => Number.isSafeInteger(n) && n >= 0

/** A page of this room. Anything else would be asked for without end. */
function isPage(page: any, id?: string): page is Page {
  return isCount(page?.head) && isCount(page.last) && Array.isArray(page.events) &&
    (id === undefined || page.room === undefined || page.room === id) &&
    (page.epoch === undefined || typeof page.epoch === 'string') &&
    page.events.every((e: any) => typeof e?.name === 'string' && isCount(e.data?.roomcast?.seq))
}

const getsSomewhere = ({ reset, more, last }: Page, { after }: Question) =>
  after === undefined || reset || !more || last > after
