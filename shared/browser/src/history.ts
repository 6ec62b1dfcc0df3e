// Fetching what rooms missed. Rooms that want to ask at about the same time ask together:
// POST /events for several, GET /rooms/{room}/events for one, GET /me/events for the
// user's own stream. A room is asked for by one request at a time.

import type { Context } from './context.js'
import { backoff, failure, now, type Failure } from './platform.js'
import { isRefusal, posted, roomPath, type Ask } from './requests.js'

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

  constructor(private context: Context) {}

  /** Asks for the reader in about ms, or as soon as it has wanted before. */
  want(reader: Reader, ms = 0) {
    this.due.set(reader, Math.min(this.due.get(reader) ?? Infinity, now() + ms))
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
    if (times.length) this.timer = setTimeout(() => this.run(), Math.max(0, Math.min(...times) - now()))
  }

  private async run() {
    let batch: Reader[] = [], questions: Question[] = []
    this.waits = true
    try {
      const answer = await this.context.requests.send(() => {
        this.waits = false
        batch = this.take()
        questions = batch.map((reader) => reader.question()!)
        this.schedule()
        if (batch.length) return this.ask(batch, questions)
      })
      this.waits = false
      batch.forEach((reader) => this.busy.delete(reader))
      this.deliverAll(batch, questions, answer)
    } catch (err: any) {
      batch.forEach((reader) => this.busy.delete(reader))
      this.refused(batch, err)
    }
    this.schedule()
  }

  /** Whose time has come and who may come along; the user's own stream goes alone. */
  private take(): Reader[] {
    const until = now() + TOGETHER, batch: Reader[] = []
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
    const check = (answer: any) => batch.some((reader, i) => {
      const page = pageOf(answer, reader, batch)
      return isRefusal(page ?? {}) || isPage(page, reader) && getsSomewhere(page, questions[i])
    })
    if (batch.length === 1) return { path: single(batch[0], questions[0]), check }
    const rooms = Object.fromEntries(batch.map(({ id }, i) => {
      const { after, epoch } = questions[i]
      return [id, { after, epoch, limit: after === undefined ? 0 : SEVERAL }]
    }))
    return { path: '/events', init: posted({ rooms }), check }
  }

  /** Those whose part is of no use ask again later, together. */
  private deliverAll(batch: Reader[], questions: Question[], answer: any) {
    const failed: Reader[] = []
    batch.forEach((reader, i) => {
      try {
        this.deliver(reader, pageOf(answer, reader, batch), questions[i])
        this.failures.delete(reader)
      } catch (err: any) {
        if (!isRefusal(err)) failed.push(reader)
        reader.failed(err)
      }
    })
    const tries = failed.map((reader) => (this.failures.get(reader) ?? 0) + 1), pause = backoff(Math.min(...tries))
    failed.forEach((reader, i) => {
      this.failures.set(reader, tries[i])
      this.want(reader, pause)
    })
  }

  private deliver(reader: Reader, page: any, question: Question) {
    if (page?.status) throw failure(`status ${page.status}`, page.status)
    if (!isPage(page, reader)) throw failure('a page without sense')
    if (!getsSomewhere(page, question)) return this.want(reader) // the other rooms have filled the answer
    this.context.health.heard(page.poll)
    const again = reader.answered(page, question)
    if (again !== undefined) this.want(reader, again)
  }

  /** The whole request failed. When it goes again is not decided here: see Requests. */
  private refused(batch: Reader[], err: Failure) {
    this.waits = false
    const alone = batch.length > 1 && isRefusal(err)
    if (alone) this.together = false // an older function, or one that will not have it
    for (const reader of batch) {
      if (alone || !isRefusal(err)) this.want(reader)
      else reader.failed(err)
    }
  }
}

function single({ id, personal }: Reader, { after, epoch = '' }: Question) {
  const query = after === undefined ? 'limit=0' : `limit=${ALONE}&after=${after}&epoch=${epoch}`
  return `${personal ? '/me' : roomPath(id)}/events?${query}`
}

/** What an answer has for one of those who asked. */
const pageOf = (answer: any, { id }: Reader, batch: Reader[]) => batch.length > 1 ? answer?.rooms?.[id] : answer

const isCount = (n: any) => Number.isSafeInteger(n) && n >= 0

/** A page of this room. Anything else would be asked for without end. */
function isPage(page: any, { id, personal }: Reader): page is Page {
  return isCount(page?.head) && isCount(page.last) && Array.isArray(page.events) &&
    (personal || page.room === undefined || page.room === id) &&
    (page.epoch === undefined || typeof page.epoch === 'string') &&
    page.events.every((e: any) => typeof e?.name === 'string' && isCount(e.data?.roomcast?.seq))
}

const getsSomewhere = ({ reset, more, last }: Page, { after }: Question) =>
  after === undefined || reset || !more || last > after
