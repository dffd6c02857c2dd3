// What a message means to one process: each of these changes the row by the rules, and says which handler of the user is to be called, if any.

import type { Envelope } from '../../core/message.ts'
import type { FairleadError } from '../../errors/base.ts'
import { wordsOf } from '../../errors/base.ts'
import { type ReadReply, readReply } from '../request-reply/reply-wire.ts'
import type { AnyMessage, ProcessBinding, ProcessStep } from './definition.ts'
import type { Instance } from './instance.ts'
import { keyOf, messageId, type StepRow, type UndoRow } from './row.ts'
import { undone, undoOf } from './undoing.ts'

/** Why nothing came of a message: the process is over; nobody waits for it (any more); it is being undone; there is one already; its version does not listen to it; there is none. */
export type Dropped = 'over' | 'late' | 'undoing' | 'again' | 'version' | 'missing'

/** What came of it: dropped, or the handler that follows. */
export type Acted =
  | { readonly drop: Dropped }
  | { readonly drop?: undefined; readonly call?: (() => unknown) | undefined }

const NOTHING: Acted = Object.freeze({})
const LATE: Acted = Object.freeze({ drop: 'late' })

/** A message that it listens to. */
export function listened(instance: Instance, binding: ProcessBinding, message: AnyMessage): Acted {
  const { word, handle, sends } = binding
  if (word !== undefined) {
    const of = binding.of?.(message)
    const taken =
      word.is === 'done' || word.is === 'refused'
        ? instance.settle(keyOf(word.step, of), word.is)
        : undone(instance, word.step, of, word.is === 'undone' ? undefined : binding.type)
    if (!taken) return LATE
  }
  if (instance.row.status !== 'running') return word === undefined ? { drop: 'undoing' } : NOTHING
  if (handle !== undefined) return { call: () => handle(message, instance.context(sends)) }
  if (word?.is === 'refused') instance.fail(`${word.step} was refused: ${binding.type}`)
  return NOTHING
}

/** A reply to a command of it. */
export async function replied(instance: Instance, envelope: Envelope, transport: string): Promise<Acted> {
  const cause = envelope.attributes['causationid']
  const { row, definition, id } = instance
  const isOf = (n: number | undefined): boolean => n !== undefined && messageId(definition.name, id, n) === cause
  const last = row.undo.at(-1)
  if (last !== undefined && isOf(last.n)) return await undoReplied(instance, last, envelope, transport)
  for (const [key, sent] of Object.entries(row.steps)) {
    const step = definition.steps.get(sent.step)
    if (step === undefined || (sent.is !== 'open' && sent.is !== 'unknown')) continue
    if (isOf(sent.n)) return stepReplied(instance, key, step, await read(step, envelope, transport))
    if (sent.asked?.some(isOf)) return await questionReplied(instance, key, step, envelope, transport)
  }
  return LATE
}

function read(
  to: Pick<ProcessStep, 'channel' | 'type'>,
  envelope: Envelope,
  transport: string,
): ReadReply | Promise<ReadReply> {
  return readReply(to.channel, to.type, envelope, { transport, idempotent: false })
}

function stepReplied(instance: Instance, key: string, step: ProcessStep, answer: ReadReply): Acted {
  const { onReply } = step
  const then = (call: (context: ReturnType<Instance['context']>) => unknown): Acted =>
    instance.row.status === 'running' ? { call: () => call(instance.context(onReply.sends)) } : NOTHING
  if (answer.error === undefined) {
    instance.settle(key, 'done')
    return onReply.reply === undefined ? NOTHING : then((context) => onReply.reply?.(answer.reply.data, context))
  }
  const { error } = answer
  // Neither yes nor no: as if no answer had come.
  if (error.effect === 'unknown') return timeUp(instance, key)
  instance.settle(key, error.effect === 'done' ? 'done' : 'refused')
  return then((context) => {
    if (error.code === 'DECLARED_FAILURE' && error.failure !== undefined && onReply.failure !== undefined)
      return onReply.failure(error.failure, error.details, context)
    if (error.code !== 'DECLARED_FAILURE' && onReply.error !== undefined) return onReply.error(error, context)
    return context.fail(`${key}: ${reasonOf(error)}`)
  })
}

async function questionReplied(
  instance: Instance,
  key: string,
  step: ProcessStep,
  envelope: Envelope,
  transport: string,
): Promise<Acted> {
  const { ask } = step
  if (ask?.found === undefined) return LATE
  const answer = await read(ask, envelope, transport)
  // Who could not answer is asked again.
  if (answer.error !== undefined) return NOTHING
  const { found } = ask
  return {
    call: async () => {
      const verdict = await found(answer.reply.data, instance.context())
      if (verdict === 'done') instance.settle(key, 'done')
      // Whoever has settled it has also said how it goes on.
      if (verdict === 'refused' && instance.settle(key, 'refused'))
        instance.fail(`${key}: not done, as ${ask.type} says`)
    },
  }
}

async function undoReplied(instance: Instance, last: UndoRow, envelope: Envelope, transport: string): Promise<Acted> {
  const undo = instance.definition.steps.get(last.step)?.undo
  if (undo === undefined) return LATE
  const { error } = await read(undo, envelope, transport)
  const taken = undone(instance, last.step, last.of, error === undefined ? undefined : reasonOf(error))
  return taken ? NOTHING : LATE
}

/** Something that was to come at a time has come. */
export function ticked(instance: Instance, tick: number): Acted {
  const { row, definition } = instance
  const name = Object.keys(row.timers).find((each) => row.timers[each]?.tick === tick)
  // Answered, cancelled or set anew meanwhile.
  if (name === undefined) return LATE
  delete row.timers[name]
  if (name.startsWith('step:')) return timeUp(instance, name.slice('step:'.length))
  if (name === 'undo') {
    const last = row.undo.at(-1)
    const key = keyOf(last?.step ?? '', last?.of)
    instance.stick(undoOf(key), 'what undoes it was not answered in time')
    return NOTHING
  }
  const timeout = definition.timeouts.get(name.slice('timeout:'.length))
  if (timeout === undefined || row.status !== 'running') return LATE
  return { call: () => timeout.handle(instance.context(timeout.sends)) }
}

/** No answer came in time, or none that says anything: it is asked about. That is no failure of the step, and nothing is undone for it. */
function timeUp(instance: Instance, key: string): Acted {
  const sent = instance.row.steps[key] as StepRow | undefined
  if (sent === undefined || (sent.is !== 'open' && sent.is !== 'unknown')) return LATE
  sent.is = 'unknown'
  const step = instance.definition.steps.get(sent.step)
  if (step?.ask !== undefined && sent.asks < step.ask.times) {
    instance.ask(key)
    return NOTHING
  }
  delete instance.row.timers[`step:${key}`]
  return nobodyKnows(instance, key, step)
}

function nobodyKnows(instance: Instance, key: string, step: ProcessStep | undefined): Acted {
  const handling = step?.onUnknown
  if (handling !== undefined && instance.row.status === 'running')
    return { call: () => handling.handle(instance.context(handling.sends)) }
  instance.stick(key, `nobody knows whether ${key} was done`)
  return NOTHING
}

/** An operator wants something. */
export function wished(instance: Instance): Acted {
  const { row, definition } = instance
  const { wish } = row
  row.wish = undefined
  if (wish === undefined) return LATE
  for (const [key, as] of Object.entries(wish.settle ?? {})) instance.settle(key, as)
  if (wish.what === 'cancel') {
    instance.fail(wish.reason ?? 'cancelled by an operator', true)
    return NOTHING
  }
  row.stuck = undefined
  const last = row.undo.at(-1)
  // It was answered with a failure, or not at all: a new message, as the receiver has had the other one.
  if (row.status === 'undoing' && last?.n !== undefined) last.n = last.failed = undefined
  for (const [key, sent] of Object.entries(row.steps)) {
    if (sent.is !== 'unknown' && !(row.status === 'undoing' && sent.is === 'open')) continue
    const step = definition.steps.get(sent.step)
    if (step?.ask === undefined) {
      if (row.timers[`step:${key}`] === undefined && row.status === 'running') return nobodyKnows(instance, key, step)
      continue
    }
    sent.asks = 0
    instance.ask(key)
  }
  if (row.status !== 'running') return NOTHING
  const settled = Object.keys(wish.settle ?? {}).map((key) => definition.steps.get(row.steps[key]?.step ?? ''))
  const handling = settled.find((step) => step?.onUnknown !== undefined)?.onUnknown
  // What somebody found out is for the process to go on with.
  return handling === undefined ? NOTHING : { call: () => handling.handle(instance.context(handling.sends)) }
}

/** `CODE: message`, in one line. */
export function reasonOf(error: FairleadError): string {
  if (error.code === 'DECLARED_FAILURE' && error.failure !== undefined) return error.failure
  return `${error.code}: ${wordsOf(error)}`
}
