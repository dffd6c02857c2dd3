// Options of serving over messaging, checked once, with the defaults filled in.
import type { Clock, Random } from '../../core/clock.ts'
import type { MessageTransport } from '../../core/contracts/transport.ts'
import { DESCRIBE, type Describable, type Description } from '../../core/describe.ts'
import { DEADLINE_HEADER } from '../../core/http-wire.ts'
import { durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import type { AnySchema } from '../../core/schema.ts'
import { isChannelName, queue } from '../../messaging/channel.ts'
import type { ConsumerCommonOptions } from '../../messaging/consumer/types.ts'
import type { Channel, MessageTypes } from '../../messaging/types.ts'
import { SEAMS, type Seams, world } from '../../policies/seams.ts'
import type { FetchServer } from '../memory/rpi.ts'
import { bytes, REQUEST_TYPE, rpiQueue } from './wire.ts'

/** Options of serving over messaging. */
export interface ServeOptions
  extends Seams,
    Pick<
      ConsumerCommonOptions<MessageTypes>,
      'concurrency' | 'prefetch' | 'prepare' | 'maxDeliveries' | 'deadLetter' | 'throttle'
    > {
  /** It is not closed with what is served: others may use it. */
  readonly transport: MessageTransport
  /** Default: that of the server adapter. */
  readonly service?: string | undefined
  /** The queue to serve. Default: `rpi.` and the service. */
  readonly queue?: string | undefined
  /** Who answers, as the source of the messages. Default: `/` and the service. */
  readonly source?: string | undefined
  /** No request is worked on for longer, milliseconds; the caller's own deadline is mostly sooner. Default 30,000. */
  readonly handlerTimeoutMs?: number | undefined
  /** Which header carries the caller's remaining time, as at the server adapter. Default `x-request-timeout-ms`. */
  readonly deadlineHeader?: string | undefined
  /**
   * Answers are kept by `Idempotency-Key`, so that a request with a key may be handed out twice. Default: what the server adapter says of itself (`idempotency`); of any other server false.
   */
  readonly keepsAnswers?: boolean | undefined
  /** Hears of answers that could not be sent. */
  readonly onError?: ((error: unknown) => void) | undefined
}

/** What it goes by. */
export interface Settings {
  readonly transport: MessageTransport
  readonly service: string
  readonly channel: Channel
  readonly source: string
  readonly handlerTimeoutMs: number
  readonly deadlineHeader: string
  readonly keepsAnswers: boolean
  readonly onError: ((error: unknown) => void) | undefined
  readonly clock: Clock
  readonly random: Random
  readonly newId: (() => string) | undefined
  readonly consumer: object
}

const CONSUMER = ['concurrency', 'prefetch', 'prepare', 'maxDeliveries', 'deadLetter', 'throttle'] as const
const OPTIONS = [
  'transport',
  'service',
  'queue',
  'source',
  'handlerTimeoutMs',
  'deadlineHeader',
  'keepsAnswers',
  'onError',
  ...CONSUMER,
  ...SEAMS,
]

// The server adapter ends its work itself, and has an answer then; the consumer ends what does not.
const SLACK_MS = 1_000
const MAX_DELIVERIES = 3

const anything: AnySchema = {
  '~standard': { version: 1, vendor: 'fairlead', validate: (value) => ({ value }) },
}

/** @throws FairleadError `INVALID_OPTIONS` */
export function settingsOf(server: FetchServer, options: ServeOptions): Settings {
  knownOptions('serveOverMessaging', options ?? {}, OPTIONS)
  if (typeof server?.fetch !== 'function')
    throw invalidOption('server', server, 'give what createServerAdapter() made, or an object with fetch(request)')
  const { transport, deadlineHeader = DEADLINE_HEADER, onError } = options ?? {}
  if (typeof transport?.receive !== 'function' || transport.capabilities === undefined)
    throw invalidOption('transport', transport, 'give a MessageTransport: memoryTransport() for example')
  const service = options.service ?? (server as { readonly service?: unknown }).service ?? options.queue
  if (typeof service !== 'string' || service === '')
    throw invalidOption('service', service, 'say which service it is, or which queue it is asked by')
  const name = options.queue ?? rpiQueue(service)
  if (!isChannelName(name))
    throw invalidOption('queue', name, 'give letters, digits, dots, dashes and underscores, at most 200')
  if (typeof deadlineHeader !== 'string' || deadlineHeader === '')
    throw invalidOption('deadlineHeader', deadlineHeader, 'give the name of a header')
  if (onError !== undefined && typeof onError !== 'function') throw invalidOption('onError', onError, 'give a function')
  const { keepsAnswers = keeps(server) } = options
  if (typeof keepsAnswers !== 'boolean') throw invalidOption('keepsAnswers', keepsAnswers, 'give true or false')
  const { source = `/${encodeURIComponent(service)}` } = options
  if (typeof source !== 'string' || source === '')
    throw invalidOption('source', source, "give a URI reference that names the service, such as '/inventory'")
  const handlerTimeoutMs = durationOption('handlerTimeoutMs', options.handlerTimeoutMs, 30_000)
  const { clock, random, newId } = world(options)
  const given = [...CONSUMER, ...SEAMS].flatMap((option) =>
    options[option] === undefined ? [] : [[option, options[option]] as const],
  )
  return {
    transport,
    service,
    channel: queue(name, { [REQUEST_TYPE]: anything }, { codec: bytes }),
    source,
    handlerTimeoutMs,
    deadlineHeader: deadlineHeader.toLowerCase(),
    keepsAnswers,
    onError,
    clock,
    random,
    newId,
    consumer: {
      maxDeliveries: MAX_DELIVERIES,
      // Its caller goes by the deadline: a call that died with several processes is no letter that somebody reads one day.
      ...(transport.capabilities.deadLetters === 'none' ? { deadLetter: 'drop' } : {}),
      ...Object.fromEntries(given),
      handlerTimeoutMs: handlerTimeoutMs + SLACK_MS,
      expired: 'drop',
      // One that was given back is somebody else's at once.
      retries: { immediate: 0, delayedMs: [0], jitter: 0 },
    },
  }
}

// What the server adapter says of itself.
function keeps(server: FetchServer): boolean {
  const said = (server as Partial<Describable<Description>>)[DESCRIBE]?.()
  return (said?.['options'] as { readonly idempotency?: unknown } | undefined)?.idempotency !== undefined
}
