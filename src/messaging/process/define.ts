// Writes a process down: what it starts on, what it sends, and what follows from each answer. Nothing is run here.
import { ageOption, countOption, invalidOption, knownOptions } from '../../core/options.ts'
import type { AnySchema, OutputOf } from '../../core/schema.ts'
import { isChannel, isChannelName } from '../channel.ts'
import type { Channel } from '../types.ts'
import {
  definitionOf,
  type ProcessBinding,
  type ProcessDefinition,
  type ProcessStep,
  type Question,
  type Undo,
  type Word,
} from './definition.ts'
import type { Process, ProcessBuilder, ProcessOptions } from './types.ts'

/**
 * Begins to write down a process: work of several services that takes a while, and that is undone step by step where it cannot be finished.
 * @param name names it in the store, for good: letters, digits, dots, dashes and underscores, at most 60
 * @throws FairleadError `INVALID_OPTIONS`, also from the methods of what it gives
 * @example
 * const PlaceOrder = defineProcess('place-order', { state: z.object({ orderId: z.string(), status: z.string() }) })
 *   .step('ticket', Kitchen, 'ticket.create', { withinMs: 60_000 })
 *   .undo('ticket', Kitchen, 'ticket.cancel', ({ sent }) => ({ orderId: sent.orderId }))
 *   .starts(Orders, 'order.created', {
 *     id: ({ data }) => data.orderId,
 *     state: ({ data }) => ({ orderId: data.orderId, status: 'PENDING' }),
 *     handle: ({ data }, process) => process.send('ticket', { orderId: data.orderId }),
 *   })
 *   .on(KitchenEvents, 'ticket.created', { id: ({ data }) => data.orderId, answers: 'ticket', handle: (_, process) => process.complete() })
 */
export function defineProcess<S extends AnySchema>(
  name: string,
  options: ProcessOptions<S>,
): ProcessBuilder<OutputOf<S>, unknown, Record<never, never>, never> {
  if (!isChannelName(name) || name.length > 60)
    throw invalidOption(
      'name',
      name,
      'name the process for good: letters, digits, dots, dashes, underscores, at most 60',
    )
  knownOptions('defineProcess', options, ['state', 'version', 'earlier', 'move'])
  const { state, earlier = [], move = {} } = options
  if (typeof state?.['~standard']?.validate !== 'function')
    throw invalidOption('state', state, 'give a schema (zod, valibot, arktype ...)')
  const version = countOption('version', options.version, 1)
  return new Builder({
    name,
    version,
    state,
    earlier: earlierOf(name, version, earlier),
    move: moveOf(version, move),
    steps: new Map(),
    timeouts: new Map(),
    bindings: [],
    onError: undefined,
    onUndone: undefined,
  }) as unknown as ProcessBuilder<OutputOf<S>, unknown, Record<never, never>, never>
}

function earlierOf(name: string, version: number, earlier: readonly Process[]): readonly ProcessDefinition[] {
  if (!Array.isArray(earlier) || earlier.some((each) => definitionOf(each) === undefined))
    throw invalidOption('earlier', earlier, 'give a list of what defineProcess made')
  // What an earlier one brings along is one as well.
  const all = earlier.flatMap((each: Process) => {
    const definition = definitionOf(each) as ProcessDefinition
    return [definition, ...definition.earlier]
  })
  const versions = new Set<number>()
  for (const each of all) {
    if (each.name !== name) throw invalidOption('earlier', each.name, `they are earlier versions of ${name}`)
    if (each.version >= version)
      throw invalidOption('earlier', each.version, `they are earlier than version ${version}`)
    if (versions.has(each.version)) throw invalidOption('earlier', each.version, 'each version is given once')
    versions.add(each.version)
  }
  return [...all].sort((a, b) => b.version - a.version)
}

function moveOf(version: number, move: NonNullable<ProcessOptions<AnySchema>['move']>): ProcessDefinition['move'] {
  if (typeof move !== 'object' || move === null || Array.isArray(move))
    throw invalidOption('move', move, 'give an object: version to a function of its state')
  for (const [from, by] of Object.entries(move))
    if (!(String(Number(from)) === from && Number(from) >= 1 && Number(from) < version) || typeof by !== 'function')
      throw invalidOption(
        `move.${from}`,
        by,
        `give functions of the state, from a version below ${version} to the next`,
      )
  return { ...move }
}

type Given = Readonly<Record<string, any>>

const STARTING = ['id', 'state', 'handle', 'again', 'sends']
const LISTENING = [
  'id',
  'correlation',
  'answers',
  'refuses',
  'undoes',
  'cannotUndo',
  'of',
  'missing',
  'handle',
  'sends',
]
const WORDS: Readonly<Record<string, Word['is']>> = {
  answers: 'done',
  refuses: 'refused',
  undoes: 'undone',
  cannotUndo: 'not-undone',
}

class Builder {
  readonly name: string
  readonly version: number
  readonly definition: ProcessDefinition

  constructor(definition: ProcessDefinition) {
    this.name = definition.name
    this.version = definition.version
    this.definition = Object.freeze(definition)
  }

  using(): Builder {
    return this
  }

  step(name: string, channel: Channel, type: string, options: Given = {}): Builder {
    const { steps } = this.definition
    if (!isChannelName(name) || name.length > 60)
      throw invalidOption('step', name, 'name it with letters, digits, dots, dashes, underscores, at most 60')
    if (steps.has(name)) throw invalidOption('step', name, 'there is a step of that name')
    typeOf(name, channel, type)
    knownOptions(`step ${name}`, options, ['withinMs'])
    const withinMs = options['withinMs'] === undefined ? undefined : ageOption('withinMs', options['withinMs'], 0, 1)
    return this.#with(name, {
      name,
      channel,
      type,
      withinMs,
      replies: channel.types[type]?.reply !== undefined,
      undo: undefined,
      ask: undefined,
      onReply: {},
      onUnknown: undefined,
    })
  }

  undo(name: string, channel: Channel, type: string, data: Undo['data'], options: Given = {}): Builder {
    const step = this.#step('undo', name)
    typeOf(`undo ${name}`, channel, type)
    callable(`undo ${name}`, data)
    knownOptions(`undo ${name}`, options, ['withinMs'])
    const withinMs = options['withinMs'] === undefined ? undefined : ageOption('withinMs', options['withinMs'], 0, 1)
    const awaited = channel.types[type]?.reply !== undefined || this.definition.bindings.some(awaits(name))
    return this.#with(name, { ...step, undo: { channel, type, data, withinMs, awaited } })
  }

  ask(name: string, channel: Channel, type: string, data: Question['data'], ...more: readonly unknown[]): Builder {
    const step = this.#step('ask', name)
    typeOf(`ask ${name}`, channel, type)
    callable(`ask ${name}`, data)
    const replies = channel.types[type]?.reply !== undefined
    const found = replies ? more[0] : undefined
    if (replies) callable(`ask ${name}: found`, found)
    const options = ((replies ? more[1] : more[0]) ?? {}) as Given
    knownOptions(`ask ${name}`, options, ['everyMs', 'times'])
    return this.#with(name, {
      ...step,
      ask: {
        channel,
        type,
        data,
        found: found as Question['found'],
        everyMs: ageOption('everyMs', options['everyMs'], step.withinMs ?? 30_000, 1),
        times: countOption('times', options['times'], 10),
      },
    })
  }

  starts(channel: Channel, type: string, start: Given): Builder {
    const at = `starts ${type}`
    knownOptions(at, start, STARTING)
    callable(`${at}: id`, start['id'])
    callable(`${at}: state`, start['state'])
    return this.#bind(at, channel, type, start, {
      state: start['state'],
      again: oneOf(`${at}: again`, start['again'], ['drop', 'handle']),
      word: undefined,
    })
  }

  on(channel: Channel, type: string, listening: Given): Builder {
    const at = `on ${type}`
    knownOptions(at, listening, LISTENING)
    if (listening['id'] !== undefined && listening['correlation'] !== undefined)
      throw invalidOption(`${at}: correlation`, listening['correlation'], 'give one of id and correlation')
    const said = Object.keys(WORDS).filter((word) => listening[word] !== undefined)
    if (said.length > 1) throw invalidOption(at, listening, `it says one thing of one step: ${said.join(', ')}`)
    const [which] = said
    const word: Word | undefined =
      which === undefined
        ? undefined
        : { step: this.#step(which, listening[which]).name, is: WORDS[which] as Word['is'] }
    if (which === undefined && typeof listening['handle'] !== 'function')
      throw invalidOption(`${at}: handle`, listening['handle'], 'give a function, or say which step it is about')
    const made = this.#bind(at, channel, type, listening, { state: undefined, again: 'drop', word })
    const undo = word?.is === 'undone' ? made.definition.steps.get(word.step) : undefined
    if (undo?.undo === undefined) return made
    return made.#with(undo.name, { ...undo, undo: { ...undo.undo, awaited: true } })
  }

  onReply(name: string, replying: Given): Builder {
    const step = this.#step('onReply', name)
    if (!step.replies) throw invalidOption('onReply', name, `${step.type} declares no reply`)
    knownOptions(`onReply ${name}`, replying, ['reply', 'failure', 'error', 'sends'])
    for (const each of ['reply', 'failure', 'error'])
      if (replying[each] !== undefined) callable(`onReply ${name}: ${each}`, replying[each])
    return this.#with(name, { ...step, onReply: { ...replying, sends: this.#sends(`onReply ${name}`, replying) } })
  }

  onTimeout(name: string, handle: unknown, options: Given = {}): Builder {
    const { timeouts } = this.definition
    if (!isChannelName(name) || name.length > 60)
      throw invalidOption('timeout', name, 'name it with letters, digits, dots, dashes, underscores, at most 60')
    if (timeouts.has(name)) throw invalidOption('timeout', name, 'there is a timeout of that name')
    const handling = { handle: callable(`onTimeout ${name}`, handle), sends: this.#sends(`onTimeout ${name}`, options) }
    return new Builder({ ...this.definition, timeouts: new Map([...timeouts, [name, handling]]) })
  }

  onUnknown(name: string, handle: unknown, options: Given = {}): Builder {
    const step = this.#step('onUnknown', name)
    return this.#with(name, {
      ...step,
      onUnknown: { handle: callable(`onUnknown ${name}`, handle), sends: this.#sends(`onUnknown ${name}`, options) },
    })
  }

  onError(handle: unknown): Builder {
    return new Builder({ ...this.definition, onError: callable('onError', handle) })
  }

  onUndone(handle: unknown): Builder {
    return new Builder({ ...this.definition, onUndone: callable('onUndone', handle) })
  }

  #bind(
    at: string,
    channel: Channel,
    type: string,
    given: Given,
    own: Pick<ProcessBinding, 'state' | 'again' | 'word'>,
  ): Builder {
    typeOf(at, channel, type)
    for (const each of ['id', 'correlation', 'of', 'handle'])
      if (given[each] !== undefined) callable(`${at}: ${each}`, given[each])
    const { bindings } = this.definition
    if (bindings.some((each) => each.type === type && sameAddress(each.channel, channel)))
      throw invalidOption(at, type, `what is done with it on ${channel.name} was said already`)
    const binding: ProcessBinding = {
      channel,
      type,
      ...own,
      id: given['id'],
      correlation: given['correlation'],
      of: given['of'],
      missing: oneOf(`${at}: missing`, given['missing'], ['retry', 'drop', 'dead']),
      handle: given['handle'],
      sends: this.#sends(at, given),
    }
    return new Builder({ ...this.definition, bindings: [...bindings, binding] })
  }

  #sends(at: string, { sends }: Given): readonly string[] | undefined {
    if (sends === undefined) return undefined
    if (!Array.isArray(sends)) throw invalidOption(`${at}: sends`, sends, 'give a list of steps')
    for (const each of sends) this.#step(`${at}: sends`, each)
    return [...sends]
  }

  #step(at: string, name: unknown): ProcessStep {
    const step = this.definition.steps.get(name as string)
    if (step !== undefined) return step
    throw invalidOption(
      at,
      name,
      `name a step before; there are ${[...this.definition.steps.keys()].join(', ') || 'none'}`,
    )
  }

  #with(name: string, step: ProcessStep): Builder {
    return new Builder({ ...this.definition, steps: new Map([...this.definition.steps, [name, step]]) })
  }
}

/** Whether both are one place. */
export function sameAddress(a: Pick<Channel, 'kind' | 'name'>, b: Pick<Channel, 'kind' | 'name'>): boolean {
  return a.kind === b.kind && a.name === b.name
}

function awaits(step: string): (binding: ProcessBinding) => boolean {
  return ({ word }) => word?.step === step && word.is === 'undone'
}

function typeOf(at: string, channel: Channel, type: string): void {
  if (!isChannel(channel)) throw invalidOption(at, channel, 'give what queue() or topic() made')
  if (!Object.hasOwn(channel.types, type))
    throw invalidOption(at, type, `${channel.name} has no such type; it has ${Object.keys(channel.types).join(', ')}`)
}

function callable(at: string, given: unknown): (...given: any[]) => any {
  if (typeof given !== 'function') throw invalidOption(at, given, 'give a function')
  return given as () => unknown
}

function oneOf<T extends string>(at: string, given: unknown, choices: readonly [T, ...T[]]): T {
  if (given === undefined) return choices[0]
  if (!choices.includes(given as T)) throw invalidOption(at, given, `give one of ${choices.join(', ')}`)
  return given as T
}
