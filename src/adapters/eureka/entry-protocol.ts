// One entry in Eureka's registry: how it is written so that the state stands that was meant, and how somebody else's hand in it is seen.
import type { Clock } from '../../core/clock.ts'
import type { RegisteredState, RegistrationProtocol } from '../../discovery/keep-registered.ts'
import { createError } from '../../errors/classes.ts'
import { statusError } from '../registry/answer.ts'
import type { RegistryRequest } from '../registry/client.ts'
import { STATUS } from './announcement.ts'
import { TOKEN_METADATA } from './instance.ts'
import type { EurekaServers } from './servers.ts'
import { type EurekaInstance, JSON_PLEASE, metadataOf, overrideOf, readInstance, statusOf } from './wire.ts'

/** Which entry, and where. */
export interface EntryProtocolOptions {
  readonly servers: EurekaServers
  /** `/apps/{APP}` */
  readonly collection: string
  /** `/apps/{APP}/{id}` */
  readonly path: string
  readonly clock: Clock
  /** Of this registration alone. */
  readonly token: string
  readonly body: (facts: { readonly token: string; readonly status: string; readonly dirty: number }) => string
}

/** The protocol of one registration. */
export function entryProtocol(options: EntryProtocolOptions): RegistrationProtocol {
  return new Entry(options)
}

/*
 * Eureka decides itself which status a registration gets. What an operator has put over it wins (an override, by id, until it is taken
 * away or the entry goes); else, where the entry is UP or OUT_OF_SERVICE already, it stays so, whatever is registered; DOWN and STARTING
 * always count. Of two registrations the one with the later `lastDirtyTimestamp` stands, and the older one is accepted and dropped.
 * So each write is read back. From UP to OUT_OF_SERVICE and back the way leads over DOWN, and no override is left behind that
 * would outlive a crash, or strike another application's instance of the same id.
 */
class Entry implements RegistrationProtocol {
  readonly #options: EntryProtocolOptions
  #dirty = 0
  #registered = false
  /** The override that stands there is ours. */
  #overrode = false

  constructor(options: EntryProtocolOptions) {
    this.#options = options
  }

  register(state: RegisteredState, signal: AbortSignal): Promise<void> {
    return this.#write(STATUS[state], signal)
  }

  setState(state: RegisteredState, signal: AbortSignal): Promise<void> {
    return this.#write(STATUS[state], signal)
  }

  async beat(state: RegisteredState, signal: AbortSignal): Promise<'kept' | 'unknown' | 'taken'> {
    const status = STATUS[state]
    const seen = await this.#read(signal)
    if (seen === undefined) return 'unknown'
    // A peer that lags behind may still have the entry of the process that was here before.
    if (!this.#isOurs(seen)) return this.#isLater(seen) ? 'taken' : 'unknown'
    if (this.#isAstray(seen, status)) return 'unknown'
    const query = `?status=${status}&lastDirtyTimestamp=${this.#dirty}`
    return (await this.#send({ method: 'PUT', path: `${this.#options.path}${query}`, signal })) ? 'kept' : 'unknown'
  }

  async deregister(signal: AbortSignal): Promise<void> {
    const seen = await this.#read(signal)
    if (seen === undefined || (!this.#isOurs(seen) && this.#isLater(seen))) return
    await this.#send({ method: 'DELETE', path: this.#options.path, signal })
  }

  close(): Promise<void> {
    return this.#options.servers.close()
  }

  async #write(status: string, signal: AbortSignal): Promise<void> {
    if (this.#registered) {
      const before = await this.#read(signal)
      // Not fought over: the next sign of life tells.
      if (before !== undefined && !this.#isOurs(before) && this.#isLater(before)) return
    }
    await this.#post(status, signal)
    let seen = await this.#read(signal)
    if (seen !== undefined && !this.#isOurs(seen) && !this.#registered) {
      // Of the process that was here before, whose clock was ahead.
      this.#dirty = Math.max(this.#dirty, dirtyOf(seen))
      await this.#post(status, signal)
      seen = await this.#read(signal)
    }
    if (seen !== undefined && !this.#isOurs(seen))
      throw createError({
        code: 'CONFLICT',
        message: `Eureka keeps the entry of another process at ${this.#options.path}`,
        transient: true,
        stack: false,
      })
    this.#registered = true
    if (seen !== undefined && this.#isAstray(seen, status)) await this.#force(seen, status, signal)
  }

  async #force(seen: EurekaInstance, status: string, signal: AbortSignal): Promise<void> {
    if (overrideOf(seen) === 'UNKNOWN') {
      await this.#post('DOWN', signal)
      await this.#post(status, signal)
      return
    }
    const path = `${this.#options.path}/status?value=${status}&lastDirtyTimestamp=${this.#dirty}`
    await this.#send({ method: 'PUT', path, signal })
    this.#overrode = status === STATUS.draining
  }

  // Whether it is for us to put right. An operator's word is not, unless it would keep those in traffic who are leaving.
  #isAstray(seen: EurekaInstance, status: string): boolean {
    if (statusOf(seen) === status) return false
    return overrideOf(seen) === 'UNKNOWN' || status === STATUS.draining || (this.#overrode && status === STATUS.ready)
  }

  #isOurs(seen: EurekaInstance): boolean {
    return metadataOf(seen)[TOKEN_METADATA] === this.#options.token
  }

  #isLater(seen: EurekaInstance): boolean {
    return dirtyOf(seen) >= this.#dirty
  }

  async #post(status: string, signal: AbortSignal): Promise<void> {
    const { body, clock, token, collection, servers } = this.#options
    this.#dirty = Math.max(this.#dirty + 1, Math.floor(clock.wallNow()))
    const text = body({ token, status, dirty: this.#dirty })
    await servers.ask({ method: 'POST', path: collection, body: text, headers: JSON_PLEASE, signal }, (answer) => {
      if (answer.status >= 300) throw statusError('Eureka', answer)
    })
  }

  async #read(signal: AbortSignal): Promise<EurekaInstance | undefined> {
    const { servers, path } = this.#options
    return (await servers.ask({ path, headers: JSON_PLEASE, signal }, readInstance)).value
  }

  // False: there is no such entry (404).
  async #send(request: RegistryRequest): Promise<boolean> {
    const said = await this.#options.servers.ask({ ...request, headers: JSON_PLEASE }, (answer) => {
      if (answer.status >= 300 && answer.status !== 404) throw statusError('Eureka', answer)
      return answer.status !== 404
    })
    return said.value
  }
}

function dirtyOf(instance: EurekaInstance): number {
  const dirty = Number(instance['lastDirtyTimestamp'])
  return Number.isFinite(dirty) ? dirty : 0
}
