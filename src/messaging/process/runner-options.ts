// Options of a runner, checked once, with the defaults filled in.
import type { MessageTransport } from '../../core/contracts/transport.ts'
import { durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { type World, world } from '../../policies/seams.ts'
import { requireCapabilities } from '../capabilities.ts'
import { isChannelName } from '../channel.ts'
import { type Keeping, keepingOf } from '../done-states.ts'
import { handedOn, INNER_CONSUMER } from '../inner-consumer.ts'
import type { Outbox } from '../outbox/types.ts'
import { definitionOf, type ProcessDefinition } from './definition.ts'
import type { ProcessPlace, ProcessRunnerOptions } from './runner-types.ts'

/** What a runner goes by. */
export interface RunnerSettings {
  /** Newest first. */
  readonly definitions: readonly [ProcessDefinition, ...ProcessDefinition[]]
  readonly store: ProcessPlace<unknown>
  readonly outbox: Outbox<unknown>
  readonly transport: MessageTransport
  readonly group: string
  readonly queue: string
  readonly scanEveryMs: number | false
  /** Undefined: nothing is purged. */
  readonly keeping: Keeping | undefined
  readonly world: World
  /** What is handed on to its consumers. */
  readonly consumer: Readonly<Record<string, unknown>>
}

const CONSUMER = [...INNER_CONSUMER, 'unknownType', 'unhandledType'] as const
const OPTIONS = ['process', 'store', 'outbox', 'transport', 'group', 'queue', 'scanEveryMs', 'keepDoneMs', ...CONSUMER]

/** @throws FairleadError `INVALID_OPTIONS`, `CAPABILITY_MISSING` */
export function runnerSettings(options: ProcessRunnerOptions<unknown>): RunnerSettings {
  knownOptions('createProcessRunner', options ?? {}, OPTIONS)
  const { process, store, outbox, transport, scanEveryMs } = options ?? ({} as typeof options)
  const definition = definitionOf(process)
  if (definition === undefined) throw invalidOption('process', process, 'give what defineProcess made')
  if (!definition.bindings.some(({ state }) => state !== undefined))
    throw invalidOption('process', definition.name, 'nothing starts it: say what does (starts)')
  if (typeof store?.states?.save !== 'function' || typeof store.inbox?.claim !== 'function')
    throw invalidOption('store', store, 'give a store: postgresStore(...), memoryStore() or another one')
  if (typeof outbox?.publish !== 'function') throw invalidOption('outbox', outbox, 'give createOutbox(store)')
  if (typeof transport?.receive !== 'function' || transport.capabilities === undefined)
    throw invalidOption('transport', transport, 'give a MessageTransport: memoryTransport() for example')
  const definitions = [definition, ...definition.earlier] as const
  // Its own queue, and what it listens to.
  const modes = new Set(definitions.flatMap(({ bindings }) => bindings.map(({ channel }) => channel.kind)))
  requireCapabilities(transport, { modes: [...modes.add('queue')] })
  const own = `process.${definition.name}`
  return {
    definitions,
    store,
    outbox,
    transport,
    group: nameOf('group', options.group, own),
    queue: nameOf('queue', options.queue, own),
    scanEveryMs: scanEveryMs === false ? false : durationOption('scanEveryMs', scanEveryMs, 5_000, 10),
    keeping: keepingFor(options),
    world: world(options),
    consumer: handedOn(options, CONSUMER),
  }
}

// A user may read from the row what became of the process: nothing goes unless it was said.
function keepingFor({ store, keepDoneMs, purgeEveryMs }: ProcessRunnerOptions<unknown>): Keeping | undefined {
  if (keepDoneMs === undefined) return undefined
  const danger = 'a message that comes again, or late, once the row is gone would begin the process anew'
  return keepingOf({ store, keepDoneMs, purgeEveryMs }, danger, 'leave keepDoneMs out')
}

function nameOf(option: string, name: string | undefined, fallback: string): string {
  if (name === undefined) return fallback
  if (!isChannelName(name)) throw invalidOption(option, name, 'give letters, digits, dots, dashes and underscores')
  return name
}
