// What the parts of one client share: each asks the others by their own names.

import type { Authorizer } from './authorize.js'
import type { Handlers } from './handlers.js'
import type { Health } from './health.js'
import type { History } from './history.js'
import type { Failure } from './platform.js'
import type { Plan } from './plan.js'
import type { Requests } from './requests.js'
import type { RoomState } from './room.js'
import type { Session } from './session.js'
import type { Socket } from './socket.js'
import type { Options } from './types.js'

export interface Context {
  readonly options: Options
  readonly session: Session
  readonly requests: Requests
  readonly plan: Plan
  readonly authorizer: Authorizer
  readonly socket: Socket
  readonly health: Health
  readonly history: History
  readonly rooms: Set<RoomState>
  /** The app's functions for the client itself. */
  readonly handlers: Handlers
  /** Opens what the rooms' modes ask for now. */
  openAll(): void
  /** Roomcast is not needed just now: it must cost no refresh, and a request a minute while it is broken. */
  isSparing(): boolean
  /** Requests fail, with what; or are answered again. */
  requestsSettled(err?: Failure): void
}
