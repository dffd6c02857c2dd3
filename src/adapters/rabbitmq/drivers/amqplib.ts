// The driver for amqplib: one connection at a time, made again by the next who asks for a channel.
import { type Clock, systemClock } from '../../../core/clock.ts'
import { durationOption, knownOptions } from '../../../core/options.ts'
import { endsWithin } from '../../../core/patience.ts'
import { createError } from '../../../errors/index.ts'
import type { AmqpChannel, AmqpDriver } from '../driver.ts'
import { amqplibChannel } from './amqplib-channel.ts'
import { amqplibError } from './amqplib-errors.ts'
import type { AmqplibConnection } from './amqplib-types.ts'

/** How the driver treats connections. */
export interface AmqplibDriverOptions {
  /** For how long one attempt to connect may take. Default 10,000: amqplib itself waits for ever when what accepted the connection stays silent. */
  readonly connectWithinMs?: number | undefined
  readonly clock?: Clock | undefined
}

// How long the broker may take to say goodbye before the connection is dropped.
const GOODBYE_MS = 2_000

interface Held {
  readonly raw: AmqplibConnection
  /** Why it broke; undefined while it stands, and where nobody said. */
  reason: unknown
  gone: boolean
}

/**
 * RabbitMQ through amqplib (tested with 2.3): give how to connect, for amqplib itself does not connect again. Without its option `recovery`: what is to be
 * restored after a loss is known here. A heartbeat of some seconds finds a connection that fell silent; the broker's own default takes a minute or two.
 * @param connect makes a connection; called anew whenever the last one is lost. The driver closes what it made.
 * @throws FairleadError `INVALID_OPTIONS`
 * @example
 * const driver = amqplibDriver(() => connect('amqp://localhost?heartbeat=10'))
 */
export function amqplibDriver(
  connect: () => PromiseLike<AmqplibConnection>,
  options: AmqplibDriverOptions = {},
): AmqpDriver {
  knownOptions('amqplibDriver', options, ['connectWithinMs', 'clock'])
  const { clock = systemClock } = options
  const connectWithinMs = durationOption('connectWithinMs', options.connectWithinMs, 10_000)
  const blockedListeners = new Set<(blocked: boolean) => void>()
  let blocked = false
  let ending: Promise<void> | undefined

  const tell = (now: boolean): void => {
    if (blocked === now) return
    blocked = now
    for (const listener of [...blockedListeners]) listener(now)
  }

  const open = async (): Promise<Held> => {
    // Called in here: what it throws at once is a rejection like others.
    const making = (async () => connect())()
    const made = await endsWithin(making, connectWithinMs, clock).catch((error: unknown) => {
      throw amqplibError(error, 'none')
    })
    if (!made) {
      making.then(discard, () => {})
      throw createError({
        code: 'CONNECT_TIMEOUT',
        effect: 'none',
        message: `amqplib had no connection after ${connectWithinMs} ms`,
        transport: 'rabbitmq',
      })
    }
    const raw = await making
    if (ending !== undefined) {
      discard(raw)
      throw ended()
    }
    const mine: Held = { raw, reason: undefined, gone: false }
    held = mine
    raw.on('error', (error: unknown) => {
      mine.reason ??= error
    })
    raw.on('close', (error: unknown) => {
      mine.reason ??= error
      mine.gone = true
      if (held === mine) held = undefined
      tell(false)
    })
    raw.on('blocked', () => tell(true))
    raw.on('unblocked', () => tell(false))
    return mine
  }
  let held: Held | undefined
  let opening: Promise<Held> | undefined

  const connection = async (): Promise<Held> => {
    if (held !== undefined) return held
    opening ??= open().finally(() => {
      opening = undefined
    })
    return opening
  }

  return {
    name: 'amqplib',
    async channel({ confirms = false } = {}): Promise<AmqpChannel> {
      if (ending !== undefined) throw ended()
      const on = await connection()
      if (ending !== undefined) throw ended()
      try {
        const channel = await (confirms ? on.raw.createConfirmChannel() : on.raw.createChannel())
        return amqplibChannel(channel, () => on.reason)
      } catch (error) {
        throw amqplibError(on.gone ? (on.reason ?? error) : error, 'none')
      }
    },
    onBlocked(listener) {
      blockedListeners.add(listener)
      if (blocked) listener(true)
      return () => void blockedListeners.delete(listener)
    },
    close() {
      // One that is being made is closed when it comes.
      ending ??= held === undefined ? Promise.resolve() : leave(held.raw, clock)
      return ending
    },
  }
}

async function leave(raw: AmqplibConnection, clock: Clock): Promise<void> {
  const goodbye = (async () => raw.close())().catch(() => {})
  if (!(await endsWithin(goodbye, GOODBYE_MS, clock))) drop(raw)
}

function ended(): Error {
  return createError({ code: 'SHUTDOWN', effect: 'none', message: 'the driver is closed', transport: 'rabbitmq' })
}

// A connection that nobody waits for any more.
function discard(raw: AmqplibConnection): void {
  raw.on('error', () => {})
  Promise.resolve(raw.close()).catch(() => drop(raw))
}

// The socket of a connection that does not answer, so that it does not keep the process up. With an error: without one amqplib does not notice.
function drop(raw: AmqplibConnection): void {
  const { connection } = raw as { readonly connection?: { readonly stream?: { destroy?(error: Error): void } } }
  connection?.stream?.destroy?.(new Error('the connection did not answer its close'))
}
