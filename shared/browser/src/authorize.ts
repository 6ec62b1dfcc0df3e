// Authorization of channels. pusher-js asks for one channel at a time, for all of them at
// once after it has connected. Those asked for within a few ms go into one request, up to
// 100 channels, to POST /pusher/auth/batch; a function without that route gets one request
// for each.

import type { Context } from './context.js'
import { failure } from './platform.js'
import { isRefusal, posted } from './requests.js'

const WINDOW = 5 // ms
const MOST = 100 // channels in one request

export interface Signature {
  auth: string
  channel_data?: string
  shared_secret?: string
  /** The channel that the room's events come by, if this one carries none. */
  events?: string
}

interface Question {
  channel: string
  wanted: () => boolean
  done: (signature: Signature) => void
  failed: (err: unknown) => void
}

export class Authorizer {
  private asked = new Map<string, Question[]>() // by socket id
  private batches = true

  constructor(private context: Context) {}

  /**
   * A signature for the channel, or a rejection with `status` if the function refuses it.
   * While the function fails it is asked again, for as long as wanted() says.
   */
  channel(socket: string, channel: string, wanted: () => boolean): Promise<Signature> {
    return new Promise((done, failed) => {
      const questions = this.asked.get(socket) ?? []
      if (!questions.length) setTimeout(() => this.flush(socket), WINDOW)
      this.asked.set(socket, questions)
      questions.push({ channel, wanted, done, failed })
    })
  }

  private flush(socket: string) {
    const questions = this.asked.get(socket) ?? []
    this.asked.delete(socket)
    while (questions.length) this.settle(socket, questions.splice(0, MOST))
  }

  private async settle(socket: string, questions: Question[]) {
    while ((questions = questions.filter(isWanted)).length) {
      if (questions.length === 1 || !this.batches) return questions.forEach((q) => this.single(socket, q))
      const answer = await this.batch(socket, questions)
      if (answer) questions = questions.filter((q) => !this.answer(q, answer[q.channel]))
    }
  }

  /** The batch's answer by channel; undefined if it failed, and is to be asked again. */
  private async batch(socket: string, questions: Question[]) {
    try {
      return await this.context.requests.send(() => {
        const body = new URLSearchParams({ socket_id: socket })
        for (const { channel, wanted } of questions) if (wanted()) body.append('channel_name', channel)
        if (!body.has('channel_name')) return
        return { ...form('/pusher/auth/batch', body), check: (answer) => questions.some((q) => isAnswer(answer?.[q.channel])) }
      })
    } catch (err: any) {
      if (err.status === 404) this.batches = false
      else if (isRefusal(err)) questions.forEach((q) => q.failed(err))
    }
  }

  /** Tells one channel's part of a batch's answer; false if it has to be asked again. */
  private answer({ done, failed }: Question, part: any) {
    if (!isAnswer(part)) return false
    if (part.auth) done(part)
    else failed(failure(part.error, 403))
    return true
  }

  private async single(socket: string, { channel, wanted, done, failed }: Question) {
    try {
      const signature = await this.ask('/pusher/auth', { socket_id: socket, channel_name: channel }, wanted)
      if (signature) done(signature)
      else failed(unwanted())
    } catch (err) {
      failed(err)
    }
  }

  /** Signs the connection in, which lets the server end it with a membership. Asked again like a channel. */
  user(socket: string, wanted: () => boolean): Promise<{ auth: string; user_data: string } | undefined> {
    return this.ask('/pusher/user-auth', { socket_id: socket }, wanted).catch(() => undefined)
  }

  /** Asks until there is an answer, a refusal, which is thrown, or nobody wants it any more. */
  private async ask(path: string, fields: Record<string, string>, wanted: () => boolean): Promise<any> {
    const ask = { ...form(path, new URLSearchParams(fields)), check: (answer: any) => typeof answer?.auth === 'string' }
    while (wanted()) {
      try {
        return await this.context.requests.send(() => wanted() ? ask : undefined)
      } catch (err: any) {
        if (isRefusal(err)) throw err
      }
    }
  }
}

/** A signature or a refusal; not that the function's database is away. */
const isAnswer = (part: any) => !!part?.auth || !!part && isRefusal(part)

const unwanted = () => new Error('roomcast: not wanted any more')

/** Tells who asked that nobody wants it any more, if so. */
function isWanted({ wanted, failed }: Question) {
  if (!wanted()) failed(unwanted())
  return wanted()
}

// As text: React Native's URLSearchParams is no body of its fetch.
function form(path: string, body: URLSearchParams) {
  return { path, init: posted(String(body), 'application/x-www-form-urlencoded') }
}
