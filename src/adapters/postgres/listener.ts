// One connection that listens for wake-ups, on behalf of everybody who uses the driver. A wake-up is a hint that may get lost; who polls as well loses nothing.
import { detached } from '../../core/async-context.ts'
import { boundedBy } from '../../core/bounded.ts'
import type { Clock, Random } from '../../core/clock.ts'
import { createError, type FairleadError } from '../../errors/index.ts'
import { classifyPostgres } from './classify-postgres.ts'
import { identifier } from './names.ts'
import type { PgListenClient } from './pg-types.ts'

/** What becomes of the connection that listens. `unavailable`: it is given up, and polling has to do. */
export type ListenState =
  | { readonly state: 'listening' }
  | { readonly state: 'lost'; readonly error: FairleadError }
  | { readonly state: 'unavailable'; readonly error: FairleadError }

/** What a listener is made of. */
export interface ListenerInit {
  readonly connect: () => PgListenClient
  readonly heartbeatMs: number
  readonly answerWithinMs: number
  readonly clock: Clock
  readonly random: Random
  readonly onState: ((state: ListenState) => void) | undefined
}

/** One connection for all channels; it exists while somebody listens. */
export interface Listener {
  listen(channel: string, wake: () => void): Promise<() => Promise<void>>
  close(): Promise<void>
}

const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5_000

/** A connection as long as it lives. */
interface Session {
  readonly client: PgListenClient
  /** `standing`: all channels are listened to, and a further one is the concern of whoever adds it. */
  state: 'opening' | 'standing' | 'over'
  /** Resolves when the connection has failed, or is not wanted any more. */
  readonly over: Promise<FairleadError | undefined>
  end(error?: FairleadError): void
  /** Ends the pause between two heartbeats. */
  interrupt: (() => void) | undefined
  /** Resolves when the connection was given up. */
  readonly gone: Promise<void>
  hangUp(): void
}

export function createListener(init: ListenerInit): Listener {
  const { clock, random, heartbeatMs, answerWithinMs } = init
  const channels = new Map<string, Set<() => void>>()
  let session: Session | undefined
  let running: Promise<void> | undefined
  let refused: FairleadError | undefined
  let wakeUp: (() => void) | undefined
  // Between two attempts: whoever comes now need not be told again that there is no connection.
  let pausing = false
  let closed = false
  // Those who wait for the outcome of the first attempt.
  let waiting: { resolve(): void; reject(error: FairleadError): void }[] = []

  const tell = (state: ListenState): void => {
    try {
      init.onState?.(state)
    } catch {
      // A listener's fault is not ours.
    }
  }
  const settle = (error?: FairleadError): void => {
    const all = waiting
    waiting = []
    for (const each of all) error === undefined ? each.resolve() : each.reject(error)
  }
  const wake = (channel: string): void => {
    for (const each of channels.get(channel) ?? []) {
      try {
        each()
      } catch {
        // Whoever is woken and throws must not keep the others asleep.
      }
    }
  }
  const asked = new WeakMap<PgListenClient, Promise<unknown>>()
  // One question at a time: pg warns of a second one beside it. Whoever waits behind one that is never answered gives up like that one does.
  const ask = (
    client: PgListenClient,
    text: string,
  ): Promise<{ readonly rows: readonly Record<string, unknown>[] }> => {
    const before = asked.get(client)
    const query = () => client.query({ text })
    const answer = before === undefined ? query() : before.then(query)
    const ended = answer.then(
      () => undefined,
      () => undefined,
    )
    asked.set(client, ended)
    void ended.then(() => asked.get(client) === ended && asked.delete(client))
    return boundedBy(clock, answerWithinMs, answer, 'TIMED_OUT', 'the listening connection did not answer', 'postgres')
  }

  const open = (): Session => {
    const client = init.connect()
    const over = deferred<FairleadError | undefined>()
    const gone = deferred<void>()
    const own: Session = {
      client,
      state: 'opening',
      over: over.promise,
      gone: gone.promise,
      interrupt: undefined,
      end(error) {
        own.state = 'over'
        over.resolve(error)
        own.interrupt?.()
      },
      hangUp() {
        own.state = 'over'
        // It waits for a peer that may be gone; nobody waits for it.
        client.end().catch(() => undefined)
        gone.resolve()
      },
    }
    client.on('error', (error) => own.end(classifyPostgres(error)))
    client.on('end', () => own.end(createError({ code: 'CONNECTION_LOST', transport: 'postgres' })))
    client.on('notification', ({ channel }) => wake(channel))
    return own
  }

  /** Connects and listens. @throws FairleadError `CAPABILITY_MISSING` behind a pooler that shares its connections */
  const begin = async (own: Session): Promise<void> => {
    const { client } = own
    await boundedBy(
      clock,
      answerWithinMs,
      client.connect(),
      'CONNECT_TIMEOUT',
      'no connection to PostgreSQL',
      'postgres',
    )
    const { rows } = await ask(client, 'select pg_backend_pid() as pid')
    const told = (client as { readonly processID?: unknown }).processID
    // A pooler gives out process ids of its own. LISTEN would succeed there, on a connection that is somebody else's a moment later.
    if (typeof told === 'number' && told !== Number(rows[0]?.['pid'])) throw pooled()
    // Those that are added meanwhile come up here as well; nothing is between the last look and the word that all stand.
    for (const channel of channels.keys()) await ask(client, `listen ${identifier('channel', channel)}`)
    if (own.state === 'opening') own.state = 'standing'
  }

  /** Asks from time to time, as a half-open connection looks like a quiet one. */
  const watch = async (own: Session): Promise<FairleadError | undefined> => {
    const { client, over } = own
    for (;;) {
      // No race with `over`: it would gather a reaction with each beat, for as long as the connection lives.
      const pause = deferred<void>()
      const timer = clock.setTimer(() => pause.resolve(), heartbeatMs, undefined)
      own.interrupt = () => pause.resolve()
      if (own.state !== 'over') await pause.promise
      clock.clearTimer(timer)
      if (own.state === 'over') return over
      try {
        await ask(client, 'select 1')
      } catch (error) {
        return classifyPostgres(error)
      }
    }
  }

  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = clock.setTimer(() => resolve(), ms, undefined)
      wakeUp = () => {
        clock.clearTimer(timer)
        resolve()
      }
    })

  const wanted = (): boolean => !closed && refused === undefined && channels.size > 0

  const run = async (): Promise<void> => {
    for (let failures = 0; wanted(); ) {
      let error: FairleadError | undefined
      try {
        session = open()
        const begun = begin(session).then(() => true)
        if (await Promise.race([begun, session.over.then(() => false)])) {
          failures = 0
          settle()
          tell({ state: 'listening' })
          // While nobody listened, something may have been said.
          for (const channel of channels.keys()) wake(channel)
          error = await watch(session)
        } else error = await session.over
      } catch (thrown) {
        error = classifyPostgres(thrown)
      }
      session?.hangUp()
      session = undefined
      if (!wanted() || error === undefined) continue
      if (error.code === 'CAPABILITY_MISSING') {
        refused = error
        tell({ state: 'unavailable', error })
        settle(error)
        return
      }
      settle()
      tell({ state: 'lost', error })
      // Full jitter: all the processes lost their connections at the same moment.
      pausing = true
      await pause(random() * Math.min(FIRST_PAUSE_MS * 2 ** failures++, LONGEST_PAUSE_MS))
      pausing = false
    }
    settle()
  }
  const start = (): void => {
    running ??= detached(run).finally(() => {
      running = undefined
      if (wanted()) start()
    })
  }

  const listen = async (channel: string, hear: () => void): Promise<() => Promise<void>> => {
    const name = identifier('channel', channel)
    if (closed) throw createError({ code: 'SHUTDOWN', transport: 'postgres' })
    if (refused !== undefined) throw refused
    const own = (): void => hear()
    const heard = channels.get(channel)
    if (heard !== undefined) heard.add(own)
    else channels.set(channel, new Set([own]))
    if (session?.state !== 'standing' && !pausing) {
      const first = new Promise<void>((resolve, reject) => waiting.push({ resolve, reject }))
      start()
      await first
    } else if (session !== undefined && heard === undefined) {
      const { client, end } = session
      await ask(client, `listen ${name}`).catch((error: unknown) => end(classifyPostgres(error)))
    }
    return async () => {
      const rest = channels.get(channel)
      if (rest?.delete(own) !== true || rest.size > 0) return
      channels.delete(channel)
      if (channels.size === 0) await stop()
      else if (session?.state === 'standing') {
        const { client, end } = session
        await ask(client, `unlisten ${name}`).catch((error: unknown) => end(classifyPostgres(error)))
      }
    }
  }

  // The loop may go on for somebody who has come meanwhile; the connection does not.
  const stop = async (): Promise<void> => {
    const { gone } = session ?? {}
    session?.end()
    wakeUp?.()
    await gone
  }

  return {
    listen,
    async close() {
      closed = true
      channels.clear()
      await stop()
      await running
    },
  }
}

interface Deferred<T> {
  readonly promise: Promise<T>
  resolve(value: T): void
}
function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined
  const promise = new Promise<T>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}

function pooled(): FairleadError {
  return createError({
    code: 'CAPABILITY_MISSING',
    message:
      'a pooler stands between here and PostgreSQL, which does not pass notifications: poll, or give pgDriver a `listener` that connects to PostgreSQL itself',
    transport: 'postgres',
  })
}
