// From a message to its process and back into the store: found, moved to its version, changed by the rules and the handlers, and saved if nobody else was faster.
// Row, messages to others and the entry of the inbox are in the transaction of the consumer.
import { isConflict } from '../../core/conflicts.ts'
import type { StateKey } from '../../core/contracts/store.ts'
import type { Envelope, Message } from '../../core/message.ts'
import { issueLine, validate } from '../../core/schema.ts'
import type { FairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import type { World } from '../../policies/seams.ts'
import { dead, isOutcome, retry } from '../consumer/outcomes.ts'
import type { TransactionContext } from '../consumer/types.ts'
import type { Outbox } from '../outbox/types.ts'
import { type Acted, type Dropped, listened, reasonOf, replied, ticked, wished } from './acting.ts'
import type { ProcessBinding, ProcessDefinition } from './definition.ts'
import { Instance } from './instance.ts'
import { keyIn, type ReadAhead } from './read-ahead.ts'
import { changedMeanwhile, goesOn, kindOf, overRow, type ProcessRow, readRow, saveOptions } from './row.ts'
import type { ProcessPlace, ProcessStats } from './runner-types.ts'
import { undoOn } from './undoing.ts'
import { TICK, WISH } from './wire.ts'

/** What it works with. */
export interface HandlingParts {
  /** Newest first. */
  readonly definitions: readonly ProcessDefinition[]
  readonly store: ProcessPlace<unknown>
  readonly ahead: ReadAhead
  readonly outbox: Outbox<unknown>
  readonly transport: string
  /** Where replies go. */
  readonly queue: string
  readonly world: World
  /** Counted up here. */
  readonly stats: { -readonly [K in keyof ProcessStats]: number }
  /** Has something told after the commit of this transaction. */
  afterCommit(tx: unknown, tell: () => void): void
  /** Something comes then, milliseconds since 1970. */
  wakes(at: number): void
}

type Context = TransactionContext<unknown>

interface FoundRow {
  readonly id: string
  readonly version: number
  readonly row: ProcessRow
}

/** A message as one version understands it. */
export interface Understood {
  readonly definition: ProcessDefinition
  readonly binding: ProcessBinding
}

const LATER_MS = 5_000
const MOST_FAILED = 1_000

/** Handlers for consumers with an inbox. */
export class Handling {
  readonly #parts: HandlingParts
  readonly #kind: string
  readonly #name: string
  /** Messages whose handler has thrown what will not go away: their next run, at once, begins a new transaction and fails the process instead. */
  readonly #failed: Map<string, FairleadError>

  constructor(parts: HandlingParts) {
    this.#parts = parts
    this.#name = (parts.definitions[0] as ProcessDefinition).name
    this.#kind = kindOf(this.#name)
    this.#failed = new Map()
  }

  /** A message of others, as each version understands it, the newest first. */
  async listen(understood: readonly Understood[], message: Message, context: Context): Promise<unknown> {
    const { tx } = context
    let other = false
    for (const { definition, binding } of understood) {
      const found = await this.#find(tx, keyIn(binding, message), message)
      if (found === undefined) continue
      const { id } = found
      if (!goesOn(found.row)) return this.#drop('over', id, message, tx)
      const own = this.#versionOf(id, found.row)
      if (own === undefined) return this.#elsewhere(id, found.row)
      other = own !== definition
      if (other) continue
      return await this.#work(id, found.version, found.row, own, message, context, (instance) =>
        binding.state !== undefined && binding.again === 'drop'
          ? { drop: 'again' }
          : listened(instance, binding, message),
      )
    }
    if (other) return this.#drop('version', undefined, message, tx)
    const [newest] = understood
    if (newest === undefined) return undefined
    if (newest.definition === this.#parts.definitions[0] && newest.binding.state !== undefined)
      return await this.#begin(newest, message, context)
    return this.#missing(newest.binding, message, tx)
  }

  /** A reply to a command, in the queue of the process. */
  async reply(envelope: Envelope, message: Message, context: Context): Promise<unknown> {
    return await this.#own(message, context, (instance) => replied(instance, envelope, this.#parts.transport))
  }

  /** A time has come, or an operator wants something. */
  async wake(message: Message, context: Context): Promise<unknown> {
    const tick = message.headers[TICK]
    return await this.#own(message, context, (instance) =>
      tick === WISH ? wished(instance) : ticked(instance, Number(tick)),
    )
  }

  async #own(message: Message, context: Context, act: Act): Promise<unknown> {
    const { tx } = context
    const found = await this.#find(tx, keyIn(undefined, message), message)
    if (found === undefined) return this.#drop('missing', message.correlationId, message, tx)
    const { id } = found
    if (!goesOn(found.row)) return this.#drop('over', id, message, tx)
    const definition = this.#versionOf(id, found.row)
    if (definition === undefined) return this.#elsewhere(id, found.row)
    return await this.#work(id, found.version, found.row, definition, message, context, act)
  }

  async #begin({ definition, binding }: Understood, message: Message, context: Context): Promise<unknown> {
    const id = binding.id?.(message)
    if (typeof id !== 'string' || id === '' || id.length > 180)
      throw createError({
        code: 'INVALID_INPUT',
        message: `the id of a process ${this.#name} is ${JSON.stringify(id)}: give a text of 1 to 180 characters`,
      })
    const now = this.#parts.world.clock.wallNow()
    const row: ProcessRow = {
      v: 1,
      version: definition.version,
      status: 'running',
      state: binding.state?.(message),
      startedAt: now,
      changedAt: now,
      next: 1,
      steps: {},
      undo: [],
      timers: {},
      correlations: [],
    }
    return await this.#work(id, 0, row, definition, message, context, (instance) =>
      listened(instance, binding, message),
    )
  }

  async #work(
    id: string,
    version: number,
    row: ProcessRow,
    definition: ProcessDefinition,
    message: Message,
    context: Context,
    act: Act,
  ): Promise<unknown> {
    const { tx } = context
    const { store, outbox, world, queue } = this.#parts
    const now = world.clock.wallNow()
    const was = { status: row.status, stuck: row.stuck?.why }
    const waited = row.correlations
    row.state = await checked(definition, id, row.state, 'INCOMPATIBLE')
    const instance = new Instance({ definition, id, row, now, queue, tx, context })
    // A cancel counts from when it was noted: what comes before it is told must not bring the process to its good end.
    if (row.wish?.what === 'cancel' && message.headers[TICK] !== WISH) wished(instance)
    const acted = await act(instance)
    if (acted.drop !== undefined) return this.#drop(acted.drop, id, message, tx)
    if (acted.call !== undefined) {
      const outcome = await this.#call(acted.call, instance, message, context)
      if (isOutcome(outcome)) return outcome
    }
    await finish(instance)
    await checked(definition, id, row.state, 'INVALID_INPUT')
    row.changedAt = now
    const last = goesOn(row) ? row : overRow(row)
    for (const { channel, message: outgoing } of instance.outgoing) await outbox.publish(tx, channel, outgoing as never)
    if (!(await store.states.save(tx, this.#kind, id, version, last, saveOptions(last, waited))))
      throw changedMeanwhile(id)
    this.#parts.afterCommit(tx, () => {
      this.#failed.delete(keyOf(message))
      this.#told(id, version, last, was)
    })
    return undefined
  }

  // What a handler wrote before it threw must not be kept, and cannot be taken out of its transaction: so the whole is undone, and the message handled again, as failed.
  async #call(call: () => unknown, instance: Instance, message: Message, context: Context): Promise<unknown> {
    const failed = this.#failed.get(keyOf(message))
    if (failed !== undefined) {
      const { onError } = instance.definition
      if (onError !== undefined && instance.row.status === 'running') await onError(failed, instance.context())
      else instance.fail(reasonOf(failed))
      return undefined
    }
    try {
      return await call()
    } catch (thrown) {
      const error = classify(thrown)
      if (context.aborted !== undefined || isConflict(thrown, context.call) || !isFinal(error)) throw thrown
      if (this.#failed.size >= MOST_FAILED) this.#failed.delete(this.#failed.keys().next().value as string)
      this.#failed.set(keyOf(message), error)
      throw createError({
        code: 'TRANSACTION_CONFLICT',
        message: `the handler of ${message.type} failed for good: ${reasonOf(error)}`,
        stack: false,
      })
    }
  }

  #told(id: string, version: number, row: ProcessRow, was: { status: string; stuck: string | undefined }): void {
    const { stats, world, wakes } = this.#parts
    const { events } = world
    const facts = { process: this.#name, id }
    stats.handled++
    if (version === 0) stats.started++
    for (const { at, told } of Object.values(row.timers)) if (told === undefined) wakes.call(this.#parts, at)
    if (row.status !== was.status) {
      if (row.status !== 'undoing') stats[row.status as 'completed']++
      if (was.status === 'running' && row.status !== 'completed') stats.undoing++
    }
    if (row.stuck !== undefined && row.stuck.why !== was.stuck) stats.stuck++
    if (!events.heard) return
    if (version === 0) events.emit({ type: 'process-started', ...facts, version: row.version })
    if (was.status === 'running' && row.reason !== undefined)
      events.emit({ type: 'process-undoing', ...facts, reason: row.reason })
    if (row.stuck !== undefined && row.stuck.why !== was.stuck)
      events.emit({ type: 'process-stuck', ...facts, ...row.stuck })
    if (!goesOn(row))
      events.emit({
        type: 'process-ended',
        ...facts,
        status: row.status as 'completed',
        elapsedMs: row.changedAt - row.startedAt,
      })
  }

  async #find(tx: unknown, key: StateKey | undefined, message: Message): Promise<FoundRow | undefined> {
    if (key === undefined) return undefined
    const { states } = this.#parts.store
    const ahead = this.#parts.ahead.read(message, key)
    if (ahead !== undefined) return rowOf(ahead.found)
    const id = key.id ?? (await states.find(tx, this.#kind, key.correlation))
    const found = id === undefined ? undefined : await states.load(tx, this.#kind, id)
    return id === undefined || found === undefined ? undefined : rowOf({ id, ...found })
  }

  // Moves it on as far as the author said how. Undefined: it began under a later version than this program has.
  #versionOf(id: string, row: ProcessRow): ProcessDefinition | undefined {
    const [newest] = this.#parts.definitions as readonly [ProcessDefinition]
    for (let move = newest.move[row.version]; move !== undefined; move = newest.move[row.version]) {
      row.state = move(row.state)
      row.version++
    }
    const own = this.#parts.definitions.find(({ version }) => version === row.version)
    if (own !== undefined || row.version > newest.version) return own
    throw createError({
      code: 'INCOMPATIBLE',
      message: `the process ${this.#name} ${id} began with version ${row.version}, which is given neither in \`earlier\` nor in \`move\``,
      details: { id, version: row.version },
    })
  }

  // While versions are exchanged both are there: sooner or later it comes to one that knows.
  #elsewhere(id: string, { version }: ProcessRow): unknown {
    return retry({
      afterMs: LATER_MS,
      reason: `the process ${this.#name} ${id} is of version ${version}, later than this one`,
    })
  }

  #missing({ missing, type }: ProcessBinding, message: Message, tx: unknown): unknown {
    if (missing === 'drop') return this.#drop('missing', undefined, message, tx)
    const reason = `there is no process ${this.#name} for this ${type}`
    if (missing === 'dead') return dead(reason)
    // It may have overtaken what begins it. To try at once would be of no use.
    throw createError({ code: 'TOO_EARLY', message: `${reason} (yet)`, retryAfterMs: 1, stack: false })
  }

  #drop(why: Dropped, id: string | undefined, message: Message, tx: unknown): undefined {
    const { stats, world } = this.#parts
    this.#parts.afterCommit(tx, () => {
      stats.dropped++
      if (!world.events.heard) return
      const process = { process: this.#name, ...(id === undefined ? {} : { id }) }
      world.events.emit({ type: 'process-dropped', ...process, why, message: message.id, messageType: message.type })
    })
    return undefined
  }
}

type Act = (instance: Instance) => Acted | Promise<Acted>

function rowOf(found: { readonly id: string; readonly version: number; readonly state: unknown } | undefined) {
  if (found === undefined) return undefined
  const { id, version, state } = found
  return { id, version, row: readRow(id, state) }
}

async function finish(instance: Instance): Promise<void> {
  const { row, definition } = instance
  instance.keepUndos()
  if (!undoOn(instance)) return
  await definition.onUndone?.(row.reason ?? '', instance.context())
  row.status = row.cancelled ? 'cancelled' : 'failed'
}

async function checked(
  { name, state: schema }: ProcessDefinition,
  id: string,
  state: unknown,
  code: 'INCOMPATIBLE' | 'INVALID_INPUT',
): Promise<unknown> {
  const judging = validate(schema, state)
  const judged = judging instanceof Promise ? await judging : judging
  if (judged.ok) return judged.value
  const issues = judged.issues.map(({ path, message }) => ({ path: path === '' ? 'state' : `state.${path}`, message }))
  throw createError({
    code,
    message: `the state of the process ${name} ${id}: ${issueLine(issues)}`,
    details: { id, issues },
  })
}

// What may go well later is for the consumer to try again. A fault of the program is no reason to undo what was done: the message is dead, and redriven once it is mended.
function isFinal(error: FairleadError): boolean {
  if (error.transient || error.kind === 'cancelled' || error.kind === 'invalid') return false
  return !(error.kind === 'rejected' && error.refusedBy === 'self')
}

function keyOf({ source, id }: Message): string {
  return `${source}\n${id}`
}
