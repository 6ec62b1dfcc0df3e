// The user's access token. supabase-js passes each new one to onAuthStateChange, and it is
// kept from there instead of being asked for: getSession() refreshes a token that looks
// expired, even if only this machine's clock is wrong, and each refresh calls all listeners.
// A client that called it in each of these calls would refresh without end.

import { bounded, now, userOf } from './platform.js'
import type { Options } from './types.js'

const MINUTE = 60_000
const LONGEST = 15 * MINUTE // between two renewals

export class Session {
  /** The user's id; null: signed out; undefined: not known yet. */
  user: string | null | undefined
  private current?: string
  private renewing?: Promise<string | undefined>
  private renewals = 0 // in a row, none of which the function accepted
  private renewAt = 0
  private taken?: string
  private subscription?: { unsubscribe(): void }
  private known: Promise<void>

  /** changed is called outside of supabase-js, which is locked while it tells. */
  constructor(private options: Options, private changed: (other: boolean) => void) {
    let tell = () => {}
    this.known = new Promise((done) => tell = done)
    if (options.token) return
    const { data } = options.supabase.auth.onAuthStateChange((_: string, session: any) => {
      this.told(session?.access_token)
      tell()
    })
    this.subscription = data.subscription
  }

  /** The token as it is known, without a refresh; undefined if nobody is signed in. */
  async token(): Promise<string | undefined> {
    if (this.options.token) this.keep(await bounded(this.options.token(false)))
    else await bounded(this.known)
    return this.current
  }

  /**
   * A newer token than the one that the function refused; undefined if there is none
   * for now. One renewal serves all who ask, and the next has to wait.
   */
  renew(refused: string | undefined): Promise<string | undefined> {
    if (this.current !== refused) return Promise.resolve(this.current)
    if (!this.renewing && now() < this.renewAt) return Promise.resolve(undefined)
    this.renewing ??= this.renewal(refused).finally(() => this.renewing = undefined)
    return this.renewing
  }

  /** The function has taken the token: if it refuses it later, that one has expired. */
  accepted(token: string) {
    if (token === this.taken) return
    this.taken = token
    this.renewals = this.renewAt = 0
  }

  wasAccepted(token: string | undefined) {
    return token !== undefined && token === this.taken
  }

  isSignedOut() {
    return !this.options.token && this.user === null
  }

  close() {
    this.subscription?.unsubscribe()
  }

  private async renewal(refused: string | undefined) {
    this.renewAt = now() + Math.min(LONGEST, MINUTE * 2 ** this.renewals++)
    const { token, supabase } = this.options
    if (token) this.keep(await bounded(token(true)))
    else {
      // Another tab may have refreshed it, or the machine slept: getSession sees that.
      const stored = await bounded<any>(supabase.auth.getSession())
      this.keep(stored.data.session?.access_token)
      if (this.current === refused) this.keep((await bounded<any>(supabase.auth.refreshSession())).data.session?.access_token)
    }
    return this.current === refused ? undefined : this.current
  }

  private keep(token: string | undefined) {
    const before = this.user, user = userOf(token)
    this.current = token
    if (!user || user === before) return
    this.user = user
    setTimeout(() => this.changed(!!before))
  }

  private told(token: string | undefined) {
    const before = this.user, had = this.current
    this.current = token
    this.user = userOf(token)
    const other = before !== undefined && before !== this.user
    if (other) this.renewals = this.renewAt = 0
    if (other || had !== token) setTimeout(() => this.changed(other))
  }
}
