// Options, checked once, with the defaults filled in; and what the transport must promise for them.
import type { MessageTransport, ReceiveFrom } from '../../core/contracts/transport.ts'
import type { Layer } from '../../core/handler.ts'
import { countOption, durationOption, invalidOption, knownOptions, shareOption } from '../../core/options.ts'
import { createError } from '../../errors/classes.ts'
import { SEAMS, type World, world } from '../../policies/seams.ts'
import { type InboxSettings, inboxSettings } from '../inbox/settings.ts'
import type { Channel, MessageTypes } from '../types.ts'
import { onArrival, type Trigger } from './trigger.ts'
import type {
  BatchHandler,
  ConsumerOptions,
  DeadLetterPlace,
  HandlerContext,
  InboxConsumerOptions,
  OnFailure,
} from './types.ts'

/** A handler of any type. */
export type AnyHandler = (message: never, context: HandlerContext) => unknown

/** What a consumer goes by. */
export interface Settings {
  readonly transport: MessageTransport
  readonly channel: Channel
  readonly from: ReceiveFrom
  readonly group: string | undefined
  readonly handlers: ReadonlyMap<string, AnyHandler>
  readonly batch: BatchHandler<MessageTypes> | undefined
  readonly concurrency: number
  readonly prefetch: number
  readonly handlerTimeoutMs: number
  readonly immediate: number
  readonly delayedMs: readonly number[]
  readonly jitter: number
  readonly onFailure: OnFailure
  readonly maxDeliveries: number
  readonly prepare: 'create' | 'check' | false
  readonly unknownType: 'dead' | 'ignore'
  /** Of a type that the channel has and nobody here handles. */
  readonly unhandledType: 'dead' | 'ignore'
  readonly expired: 'dead' | 'drop'
  readonly deadLetter: DeadLetterPlace | 'drop' | 'transport'
  readonly layers: readonly Layer[]
  /** Undefined: each message as it comes. */
  readonly trigger: Trigger | undefined
  readonly throttle: { readonly failures: number; readonly probeMs: number; readonly maxProbeMs: number } | undefined
  readonly inbox: InboxSettings | undefined
  readonly world: World
}

const NAMES = [
  'transport',
  'channel',
  'group',
  'from',
  'handlers',
  'batch',
  'concurrency',
  'prefetch',
  'handlerTimeoutMs',
  'retries',
  'onFailure',
  'maxDeliveries',
  'prepare',
  'unknownType',
  'unhandledType',
  'expired',
  'deadLetter',
  'layers',
  'trigger',
  'throttle',
  'inbox',
  'name',
  'redriveWithinMs',
  'purgeEveryMs',
  ...SEAMS,
]

/**
 * Checks and fills in.
 * @throws FairleadError `INVALID_OPTIONS`; `CAPABILITY_MISSING` where the transport cannot do what is asked for
 */
export function settingsOf<Types extends MessageTypes>(
  options: ConsumerOptions<Types> | InboxConsumerOptions<Types, unknown>,
): Settings {
  knownOptions('createConsumer', options, NAMES)
  const { transport, channel, group, retries = {}, layers = [] } = options
  if (typeof transport?.receive !== 'function' || transport.capabilities === undefined)
    throw invalidOption('transport', transport, 'give a MessageTransport')
  if ((channel?.kind !== 'queue' && channel?.kind !== 'topic') || channel.types === undefined)
    throw invalidOption('channel', channel, 'give what queue() or topic() made')
  if (group !== undefined && (typeof group !== 'string' || group === ''))
    throw invalidOption('group', group, 'give a name, or leave it out')
  if (group !== undefined && channel.kind === 'queue')
    throw invalidOption('group', group, 'a queue has no groups: its consumers compete for its messages')
  knownOptions('retries', retries, ['immediate', 'delayedMs', 'jitter'])
  const { handlers, batch } = handlersOf(options)
  const trigger = triggerOf(options.trigger, batch !== undefined)
  const concurrency = countOption('concurrency', options.concurrency, batch === undefined ? 10 : 1)
  const usual = batch === undefined ? 2 * concurrency : 100 * concurrency
  const settings: Omit<Settings, 'inbox'> = {
    transport,
    channel: channel as unknown as Channel,
    group,
    from: { channel: { kind: channel.kind, name: channel.name }, group, from: options.from },
    handlers,
    batch,
    concurrency,
    prefetch: countOption('prefetch', options.prefetch, Math.max(usual, trigger?.sees ?? 0)),
    handlerTimeoutMs: durationOption('handlerTimeoutMs', options.handlerTimeoutMs, 30_000),
    immediate: countOption('retries.immediate', retries.immediate, 2, 0),
    delayedMs: delaysOf(retries.delayedMs),
    jitter: shareOption('retries.jitter', retries.jitter, 0.2, true),
    onFailure:
      oneOf('onFailure', options.onFailure, ['block-key', 'park-key', 'overtake']) ??
      (transport.capabilities.order === 'none' ? 'overtake' : 'block-key'),
    maxDeliveries: countOption('maxDeliveries', options.maxDeliveries, 20),
    prepare:
      options.prepare === false
        ? false
        : (oneOf<'create' | 'check'>('prepare', options.prepare, ['create', 'check']) ?? 'create'),
    unknownType: oneOf('unknownType', options.unknownType, ['dead', 'ignore']) ?? 'dead',
    // A topic is shared: what this consumer has no handler for is meant for others. From a queue nobody else would get it.
    unhandledType:
      oneOf('unhandledType', options.unhandledType, ['dead', 'ignore']) ??
      (options.channel.kind === 'topic' ? 'ignore' : 'dead'),
    expired: oneOf('expired', options.expired, ['dead', 'drop']) ?? 'dead',
    deadLetter: deadLetterOf(options.deadLetter),
    layers: layersOf(layers),
    trigger,
    throttle: throttleOf(options.throttle),
    world: world({ clock: options.clock, random: options.random, onEvent: options.onEvent }),
  }
  if (trigger !== undefined && settings.prefetch < trigger.sees)
    throw invalidOption(
      'prefetch',
      settings.prefetch,
      `the trigger ${trigger.name} has to see ${trigger.sees} messages`,
    )
  checkCapabilities(settings)
  return { ...settings, inbox: inboxSettings(options, settings) }
}

function handlersOf<Types extends MessageTypes>({
  channel,
  handlers,
  batch,
}: ConsumerOptions<Types> | InboxConsumerOptions<Types, unknown>): Pick<Settings, 'handlers' | 'batch'> {
  if (batch !== undefined) {
    if (handlers !== undefined) throw invalidOption('batch', batch, 'give handlers or batch, not both')
    if (typeof batch !== 'function') throw invalidOption('batch', batch, 'give a function of the messages')
    return { handlers: new Map(), batch: batch as unknown as BatchHandler<MessageTypes> }
  }
  if (typeof handlers !== 'object' || handlers === null || Object.keys(handlers).length === 0)
    throw invalidOption('handlers', handlers, 'give a handler for each type of message that is taken, or batch')
  const all = new Map<string, AnyHandler>()
  for (const [type, handler] of Object.entries(handlers)) {
    if (!Object.hasOwn(channel.types, type))
      throw invalidOption(
        `handlers.${type}`,
        handler,
        `${channel.name} has no such type; it has ${Object.keys(channel.types).join(', ')}`,
      )
    if (typeof handler !== 'function') throw invalidOption(`handlers.${type}`, handler, 'give a function')
    all.set(type, handler as AnyHandler)
  }
  return { handlers: all, batch: undefined }
}

function triggerOf(trigger: Trigger | undefined, inBatches: boolean): Trigger | undefined {
  if (trigger === undefined) return inBatches ? onArrival : undefined
  if (typeof trigger?.decide !== 'function') throw invalidOption('trigger', trigger, 'give a Trigger')
  countOption('trigger.sees', trigger.sees, 1)
  // One message at a time, each as it comes: needs no rule to be asked.
  return trigger === onArrival && !inBatches ? undefined : trigger
}

function delaysOf(delays: readonly number[] | undefined): readonly number[] {
  if (delays === undefined) return [10_000, 30_000, 60_000]
  if (!Array.isArray(delays)) throw invalidOption('retries.delayedMs', delays, 'give a list of milliseconds')
  return delays.map((delay, at) => durationOption(`retries.delayedMs.${at}`, delay, 0, 0))
}

function deadLetterOf(place: DeadLetterPlace | 'drop' | undefined): Settings['deadLetter'] {
  if (place === undefined || place === 'drop') return place ?? 'transport'
  if (typeof place?.transport?.send !== 'function' || typeof place.channel?.name !== 'string')
    throw invalidOption('deadLetter', place, "give { transport, channel }, or 'drop'")
  const { kind, name } = place.channel
  return { transport: place.transport, channel: { kind, name } }
}

function layersOf(layers: readonly Layer[]): readonly Layer[] {
  if (!Array.isArray(layers) || layers.some((layer) => typeof layer !== 'function'))
    throw invalidOption('layers', layers, 'give a list of layers, first = outermost')
  return [...layers]
}

function throttleOf(plan: ConsumerOptions<MessageTypes>['throttle']): Settings['throttle'] {
  if (plan === false) return undefined
  knownOptions('throttle', plan ?? {}, ['failures', 'probeMs', 'maxProbeMs'])
  const probeMs = durationOption('throttle.probeMs', plan?.probeMs, 1_000)
  return {
    failures: countOption('throttle.failures', plan?.failures, 10),
    probeMs,
    maxProbeMs: durationOption('throttle.maxProbeMs', plan?.maxProbeMs, Math.max(30_000, probeMs)),
  }
}

function oneOf<T extends string>(option: string, value: T | undefined, choices: readonly T[]): T | undefined {
  if (value !== undefined && !choices.includes(value))
    throw invalidOption(option, value, `give one of ${choices.join(', ')}`)
  return value
}

// What cannot be made up for here. `overtake` always can: where nothing can be given back, the failed one is held beside its key.
function checkCapabilities({
  transport,
  channel,
  group,
  onFailure,
  delayedMs,
  deadLetter,
  from,
}: Omit<Settings, 'inbox'>): void {
  const { capabilities, name } = transport
  const missing = (what: string, promised: string, instead: string): Error =>
    createError({
      code: 'CAPABILITY_MISSING',
      message: `transport ${name} cannot do what the consumer of ${channel.name} asks for: ${what} (it promises ${promised}); ${instead}`,
      transport: name,
      channel: channel.name,
      details: { needed: what, promised },
    })
  if (!capabilities.modes.includes(channel.kind))
    throw missing(`a ${channel.kind}`, capabilities.modes.join(', '), `use a ${capabilities.modes[0]}`)
  // Where a send is accepted only once every group has handled it, a group that is away loses nothing: the sender is told.
  if (group !== undefined && !capabilities.durableSubscriptions && capabilities.acknowledged !== 'handled')
    throw missing('a durable group', 'live subscriptions only', 'leave `group` out')
  if (from.from !== undefined && from.from !== 'latest' && !capabilities.replay)
    throw missing(`from: ${JSON.stringify(from.from)}`, 'no replay', 'leave `from` out')
  if (onFailure === 'park-key') {
    const { nack, delay, maxDelayMs, order } = capabilities
    const longest = Math.max(0, ...delayedMs)
    if (order === 'none' || (nack !== 'block' && nack !== 'either'))
      throw missing("onFailure: 'park-key'", `order '${order}', nack '${nack}'`, "use 'block-key' or 'overtake'")
    if (delayedMs.length > 0 && (delay === 'none' || maxDelayMs < longest))
      throw missing(
        `onFailure: 'park-key' with delays of ${longest} ms`,
        delay === 'none' ? 'no delay' : `at most ${maxDelayMs} ms`,
        "use 'block-key', or shorter delays",
      )
  }
  if (deadLetter === 'transport' && capabilities.deadLetters === 'none')
    throw missing('dead letters', "deadLetters 'none'", "give deadLetter: { transport, channel }, or 'drop'")
}
