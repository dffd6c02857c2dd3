// Runs a process: a consumer with an inbox for each channel that it listens to, one for its own queue, and a scan for what comes at a time.
import { DESCRIBE, type Description } from '../../core/describe.ts'
import { closeWithin } from '../../core/lifecycle.ts'
import type { ChannelAddress, Message } from '../../core/message.ts'
import { AfterCommit } from '../after-commit.ts'
import { createConsumer } from '../consumer/create-consumer.ts'
import type { Consumer, ConsumerHealth, TransactionContext } from '../consumer/types.ts'
import { donePurger } from '../done-states.ts'
import type { Purger } from '../inbox/purger.ts'
import { Scan } from '../request-reply/stored-scan.ts'
import { withoutExpiry } from '../request-reply/stored-transport.ts'
import { carriedBy } from '../request-reply/stored-wire.ts'
import type { Channel } from '../types.ts'
import type { ProcessDefinition } from './definition.ts'
import { Handling, type Understood } from './handling.ts'
import { listProcesses, showProcess, wishFor } from './operating.ts'
import { keyIn, ReadAhead } from './read-ahead.ts'
import { goesOn, kindOf, messageId, type ProcessRow, readRow, saveOptions, type Wish } from './row.ts'
import { type RunnerSettings, runnerSettings } from './runner-options.ts'
import type {
  ProcessListOptions,
  ProcessRunner,
  ProcessRunnerOptions,
  ProcessStats,
  ProcessView,
  SettledByHand,
} from './runner-types.ts'
import { ownChannel, TICK, WAKE, WISH } from './wire.ts'

/**
 * Makes a runner; nothing is taken before `start()`.
 * @throws FairleadError `INVALID_OPTIONS`, `CAPABILITY_MISSING`
 * @example
 * const runner = createProcessRunner({ process: PlaceOrder, store, outbox, transport })
 * await runner.start()
 */
export function createProcessRunner<Tx>(options: ProcessRunnerOptions<Tx>): ProcessRunner {
  return new Runner(runnerSettings(options as never))
}

class Runner implements ProcessRunner {
  readonly name: string
  readonly #settings: RunnerSettings
  readonly #kind: string
  readonly #own: Channel
  readonly #stats: { -readonly [K in keyof ProcessStats]: number }
  readonly #afterCommit: AfterCommit
  readonly #consumers: ReadonlyMap<string, Consumer>
  readonly #scan: Scan | undefined
  readonly #purger: Purger | undefined
  #closing: Promise<void> | undefined

  constructor(settings: RunnerSettings) {
    const { definitions, store, outbox, transport, queue, world, scanEveryMs } = settings
    this.name = definitions[0].name
    this.#settings = settings
    this.#kind = kindOf(this.name)
    this.#own = ownChannel(queue, definitions)
    this.#stats = {
      started: 0,
      handled: 0,
      completed: 0,
      undoing: 0,
      failed: 0,
      cancelled: 0,
      stuck: 0,
      dropped: 0,
      purged: 0,
    }
    this.#afterCommit = new AfterCommit(store)
    const ahead = new ReadAhead(store, this.#kind)
    const handling = new Handling({
      definitions,
      store,
      ahead,
      outbox,
      transport: transport.name,
      queue,
      world,
      stats: this.#stats,
      afterCommit: (tx, tell) => this.#afterCommit.note(tx, tell),
      wakes: (at) => this.#scan?.at(at),
    })
    this.#consumers = this.#consumersOf(handling, ahead)
    this.#scan =
      scanEveryMs === false
        ? undefined
        : new Scan({
            world,
            everyMs: scanEveryMs,
            due: (limit) => store.states.due(this.#kind, world.clock.wallNow(), limit),
            expire: (id) => this.#wake(id),
            failed: (error) => {
              if (world.events.heard) world.events.emit({ type: 'process-scan-failed', process: this.name, error })
            },
          })
    this.#purger = this.#purgerOf()
    this.#closing = undefined
  }

  async start(): Promise<void> {
    await this.#prepare()
    // What it has sent may be answered before the last subscription stands: its own queue is there first.
    const [own, ...others] = this.#consumers.values()
    await own?.start()
    await Promise.all(others.map((consumer) => consumer.start()))
    this.#scan?.start()
    this.#purger?.start()
  }

  #purgerOf(): Purger | undefined {
    const { store, world, keeping } = this.#settings
    if (keeping === undefined) return undefined
    const process = this.name
    return donePurger(store.states, this.#kind, keeping, world, {
      purged: (count) => {
        this.#stats.purged += count
        if (world.events.heard) world.events.emit({ type: 'process-purged', process, count })
      },
      failed: (error) => {
        if (world.events.heard) world.events.emit({ type: 'process-purge-failed', process, error })
      },
    })
  }

  // A command to a queue that is not there yet would be a dead letter: its consumer may be deployed later than this.
  async #prepare(): Promise<void> {
    const { definitions, transport, consumer } = this.#settings
    const prepare = (consumer['prepare'] ?? 'create') as 'create' | 'check' | false
    if (prepare === false || transport.capabilities.unroutable !== 'detected') return
    await transport.prepare(sentTo(definitions), prepare)
  }

  #consumersOf(handling: Handling, ahead: ReadAhead): ReadonlyMap<string, Consumer> {
    const { definitions, transport, group, consumer } = this.#settings
    const common = { ...consumer, name: this.#kind }
    const own: Record<string, unknown> = {
      [WAKE]: (message: Message, context: TransactionContext<unknown>) => handling.wake(message, context),
    }
    for (const type of Object.keys(this.#own.types))
      own[type] ??= (message: Message, context: TransactionContext<unknown>) =>
        handling.reply(carriedBy(context), message, context)
    const consumers = new Map<string, Consumer>()
    consumers.set(
      addressOf(this.#own),
      createConsumer({
        ...common,
        inbox: ahead.place((message) => keyIn(undefined, message)),
        // Whether an answer is too late is for the row to say.
        transport: withoutExpiry(transport),
        channel: this.#own,
        handlers: own,
      } as never),
    )
    for (const [address, { channel, types }] of listenedTo(definitions)) {
      const handlers: Record<string, unknown> = {}
      for (const [type, understood] of types)
        handlers[type] = (message: Message, context: TransactionContext<unknown>) =>
          handling.listen(understood, message, context)
      consumers.set(
        address,
        createConsumer({
          ...common,
          // The newest version is asked first.
          inbox: ahead.place((message) => keyIn(types.get(message.type)?.[0]?.binding, message)),
          // Once is enough: they have one inbox.
          purgeEveryMs: false,
          transport,
          channel,
          group: channel.kind === 'topic' ? group : undefined,
          handlers,
        } as never),
      )
    }
    return consumers
  }

  // Several runners look: the one whose compare-and-set goes through has the messages published, with the same commit. From then on the row waits for them.
  async #wake(id: string): Promise<void> {
    const { store, outbox, world } = this.#settings
    const now = world.clock.wallNow()
    await store.transaction(async (tx) => {
      const found = await store.states.load(tx, this.#kind, id)
      if (found === undefined) return
      const row: ProcessRow = readRow(id, found.state)
      if (!goesOn(row)) return
      const ticks: string[] = []
      for (const timer of Object.values(row.timers))
        if (timer.told === undefined && timer.at <= now) {
          timer.told = true
          ticks.push(String(timer.tick))
        }
      if (row.wish !== undefined && row.wish.told === undefined) {
        row.wish = { ...row.wish, told: true }
        ticks.push(WISH)
      }
      if (ticks.length === 0) return
      // Somebody else was faster: another runner, or a message, which leaves it to be told.
      if (!(await store.states.save(tx, this.#kind, id, found.version, row, saveOptions(row, row.correlations))))
        return this.#scan?.at(now)
      await outbox.publish(
        tx,
        this.#own as never,
        ticks.map((tick) => ({
          type: WAKE,
          id: messageId(this.name, id, tick === WISH ? `wish:${found.version}` : `tick:${tick}`),
          correlationId: id,
          key: id,
          headers: { [TICK]: tick },
        })) as never,
      )
    })
  }

  list(options?: ProcessListOptions): Promise<readonly ProcessView[]> {
    return listProcesses(this.#settings.store, this.name, options)
  }

  show(id: string): Promise<ProcessView | undefined> {
    return showProcess(this.#settings.store, this.name, id)
  }

  resume(id: string, settle?: SettledByHand): Promise<boolean> {
    return this.#wish(id, { what: 'resume', settle })
  }

  cancel(id: string, reason?: string): Promise<boolean> {
    return this.#wish(id, { what: 'cancel', reason })
  }

  async #wish(id: string, wish: Wish): Promise<boolean> {
    const { store, world } = this.#settings
    const now = world.clock.wallNow()
    const noted = await wishFor(store, this.name, id, wish, now)
    if (noted) this.#scan?.at(now)
    return noted
  }

  stats(): ProcessStats {
    return { ...this.#stats }
  }

  health(): Readonly<Record<string, ConsumerHealth>> {
    return Object.fromEntries([...this.#consumers].map(([address, consumer]) => [address, consumer.health()]))
  }

  close(options: { readonly withinMs?: number | undefined } = {}): Promise<void> {
    if (this.#closing !== undefined) return this.#closing
    return closeWithin(options, 30_000, (withinMs) => {
      this.#closing = this.#close(withinMs)
      return this.#closing
    })
  }

  async #close(withinMs: number): Promise<void> {
    this.#purger?.stop()
    await this.#scan?.stop()
    await Promise.all([...this.#consumers.values()].map((consumer) => consumer.close({ withinMs })))
    this.#afterCommit.stop()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  [DESCRIBE](): Description {
    const { definitions, transport, store, group, queue, scanEveryMs, keeping } = this.#settings
    return {
      what: 'process',
      name: this.name,
      layers: [],
      transport: transport.name,
      store: (store as { readonly name?: string }).name,
      versions: definitions.map(({ version }) => version),
      steps: [...definitions[0].steps.keys()],
      listensTo: [...this.#consumers.keys()],
      options: { group, queue, scanEveryMs, ...(keeping === undefined ? {} : { keepDoneMs: keeping.doneMs }) },
    }
  }
}

interface Listened {
  readonly channel: Channel
  readonly types: Map<string, Understood[]>
}

// Where commands, questions and undoings go.
function sentTo(definitions: readonly ProcessDefinition[]): readonly ChannelAddress[] {
  const all = new Map<string, ChannelAddress>()
  for (const { steps } of definitions)
    for (const step of steps.values())
      for (const each of [step, step.undo, step.ask])
        if (each !== undefined) all.set(addressOf(each.channel), { kind: each.channel.kind, name: each.channel.name })
  return [...all.values()]
}

// One consumer for each channel, however many versions listen to it.
function listenedTo(definitions: readonly ProcessDefinition[]): ReadonlyMap<string, Listened> {
  const all = new Map<string, Listened>()
  for (const definition of definitions)
    for (const binding of definition.bindings) {
      const { channel, type } = binding
      const address = addressOf(channel)
      const listened = all.get(address) ?? { channel, types: new Map<string, Understood[]>() }
      all.set(address, listened)
      const understood = listened.types.get(type)
      if (understood === undefined) listened.types.set(type, [{ definition, binding }])
      else understood.push({ definition, binding })
    }
  return all
}

function addressOf({ kind, name }: Channel): string {
  return `${kind}:${name}`
}
