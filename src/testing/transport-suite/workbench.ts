// What a case works with: transports as so many processes, channels of its own, messages that can be told apart, receivers under observation.
import { AssertionError } from 'node:assert'
import { type Random, systemRandom } from '../../core/clock.ts'
import { type CallContext, createContext } from '../../core/context.ts'
import type {
  Backlog,
  ChannelPlace,
  DeadLetter,
  MessageTransport,
  SendResult,
  TransportCapabilities,
} from '../../core/contracts/transport.ts'
import { deadlineIn } from '../../core/deadline.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import { isFairleadError } from '../../errors/index.ts'
import { seededRandom } from '../seeded-random.ts'
import { type CollectOptions, type Collector, type Handed, startCollecting } from './collector.ts'
import type { LabOpenOptions, Mode, TransportLab } from './lab.ts'
import { type Waiting, waitingIn } from './waiting.ts'

/** Where to send, and where to receive: on a topic, by which group. */
export interface Place {
  readonly channel: ChannelAddress
  readonly group?: string | undefined
}

/** What is special about a message; the rest is made up. */
export interface MessageSpec extends Partial<Omit<Envelope, 'body'>> {
  readonly text?: string | undefined
  readonly body?: Uint8Array | undefined
}

/** The means of one case. */
export interface Workbench extends Waiting {
  readonly lab: TransportLab
  readonly capabilities: TransportCapabilities
  /** How many messages a heavy case sends. */
  readonly heavy: number
  readonly delayMs: number
  /** The short lease of the lab; cases that use it need `leases`. */
  readonly leaseMs: number
  /** The same numbers in every run. */
  readonly random: Random
  /** All deliveries to all collectors of the case, in order. */
  readonly log: readonly Handed[]
  /** Another process's transport; closed with the case. */
  open(options?: LabOpenOptions | undefined): Promise<MessageTransport>
  /** A channel that nobody has used, made at the broker. On a topic with a group `main`, unless others are named. */
  place(mode: Mode, options?: { readonly purpose?: string; readonly groups?: readonly string[] }): Promise<Place>
  /** A name for a channel that the broker does not have. */
  unused(mode: Mode, purpose: string): ChannelAddress
  message(spec?: MessageSpec | undefined): Envelope
  messages(count: number, spec?: ((index: number) => MessageSpec) | undefined): readonly Envelope[]
  collect(transport: MessageTransport, place: Place, options?: CollectOptions | undefined): Promise<Collector>
  /** Sends, and fails unless all are accepted. Where a send is a delivery it goes on in the background, for its answer waits for the receivers. */
  send(transport: MessageTransport, channel: ChannelAddress, envelopes: readonly Envelope[]): Promise<void>
  /** Sends; the verdicts. The deadline is in milliseconds, default 60,000. */
  attempt(
    transport: MessageTransport,
    channel: ChannelAddress,
    envelopes: readonly Envelope[],
    deadlineMs?: number | undefined,
  ): Promise<readonly SendResult[]>
  /** The context of a send of one's own. */
  context(deadlineMs?: number | undefined): { readonly context: CallContext; abort(reason: unknown): void }
  inspect(transport: MessageTransport, place: Place, minPriority?: number | undefined): Promise<Backlog>
  deadLetters(
    transport: MessageTransport,
    place: ChannelPlace,
    limit?: number | undefined,
  ): Promise<readonly DeadLetter[]>
  redrive(transport: MessageTransport, place: ChannelPlace, ids: readonly string[] | 'all'): Promise<number>
  /** Waits until so many deliveries were made to these together. */
  arrived(collectors: readonly Collector[], count: number): Promise<void>
}

const encoder = new TextEncoder()
const SEND_MS = 60_000
const HEAVY = 5_000
const DELAY_MS = 1_000

/** The place of a dead letter or a backlog: of the channel, and on a topic of the group. */
export function placeAt({ channel, group }: Place): ChannelPlace {
  return group === undefined ? channel : { ...channel, group }
}

/** Texts in the order of handing out. */
export function texts(handed: readonly Handed[]): readonly string[] {
  return handed.map(({ text }) => text)
}

/** A workbench for one case, and the means to end it; `finish` closes all and answers what was wrong throughout. */
export function workbenchIn(
  lab: TransportLab,
  capabilities: TransportCapabilities,
): { readonly bench: Workbench; finish(): Promise<readonly string[]> } {
  const waiting = waitingIn(lab)
  const token = Math.floor((lab.random ?? systemRandom)() * 36 ** 6).toString(36)
  const opened: MessageTransport[] = []
  const breaches: string[] = []
  const labels = new Map<Collector, string>()
  const log: Handed[] = []
  const handled = capabilities.acknowledged === 'handled'
  let sequence = 0
  let made = 0
  let ended = false

  const nameOf = (mode: Mode, purpose: string): ChannelAddress => ({
    kind: mode,
    name: lab.channel?.(mode, purpose) ?? `suite-${token}-${++made}-${purpose}`,
  })

  const watch = {
    log,
    breaches,
    next: () => ++sequence,
    now: () => waiting.clock.now(),
    done: waiting.done,
    get ended() {
      return ended
    },
    pause: () => (lab.pass === undefined ? waiting.pass(20) : waiting.turn()),
  }

  const context: Workbench['context'] = (deadlineMs = SEND_MS) =>
    createContext({
      service: 'suite',
      operation: 'publish',
      deadline: deadlineIn(deadlineMs, waiting.clock),
      idempotent: true,
    })

  const sending = (
    transport: MessageTransport,
    channel: ChannelAddress,
    envelopes: readonly Envelope[],
    deadlineMs: number | undefined,
  ): Promise<readonly SendResult[]> => {
    const work = transport.send(channel, envelopes, context(deadlineMs).context)
    work.then(
      (verdicts) => {
        if (verdicts.length !== envelopes.length)
          breaches.push(`${verdicts.length} verdicts for ${envelopes.length} messages`)
      },
      (error: unknown) => void breaches.push(`send rejected: ${String(error)}`),
    )
    return work
  }

  const bench: Workbench = {
    ...waiting,
    lab,
    capabilities,
    heavy: lab.heavy ?? HEAVY,
    delayMs: lab.delayMs ?? DELAY_MS,
    leaseMs: lab.leaseMs ?? 0,
    random: seededRandom(7),
    log,
    context,
    async open(options) {
      const transport = await waiting.done('opening a transport', Promise.resolve(lab.open(options)))
      opened.push(transport)
      return transport
    },
    async place(mode, { purpose = 'main', groups = ['main'] } = {}) {
      const channel = nameOf(mode, purpose)
      const transport = opened[0] ?? (await bench.open())
      const places = mode === 'topic' ? groups.map((group) => ({ ...channel, group })) : [channel]
      await waiting.done('preparing a channel', transport.prepare(places.length === 0 ? [channel] : places, 'create'))
      return mode === 'topic' ? { channel, group: groups[0] } : { channel }
    },
    unused: nameOf,
    message({ text, body, ...rest } = {}) {
      const number = ++made
      return {
        id: `${token}-${number}`,
        attributes: {
          specversion: '1.0',
          type: 'suite.message',
          source: '/fairlead/suite',
          time: '2026-01-01T00:00:00.000Z',
          datacontenttype: 'text/plain',
        },
        headers: {},
        ...rest,
        body: body ?? encoder.encode(text ?? `message ${number}`),
      }
    },
    messages: (count, spec) =>
      Array.from({ length: count }, (_, index) => bench.message(spec?.(index) ?? { text: String(index) })),
    async collect(transport, { channel, group }, options = {}) {
      const { from, temporary } = options
      const what = {
        channel,
        ...(group === undefined ? {} : { group }),
        ...(from === undefined ? {} : { from }),
        ...(temporary === undefined ? {} : { temporary }),
      }
      const collector = await startCollecting(
        (sink) => waiting.done(`subscribing to ${channel.name}`, transport.receive(what, sink)),
        watch,
        options,
      )
      labels.set(
        collector,
        `receiver ${labels.size + 1} of ${channel.kind} ${channel.name}${group === undefined ? '' : `, group ${group}`}`,
      )
      return collector
    },
    async send(transport, channel, envelopes) {
      const work = sending(transport, channel, envelopes, undefined)
      if (handled) return
      for (const [index, verdict] of (await waiting.done('sending', work)).entries())
        if (verdict.status !== 'accepted')
          throw new AssertionError({
            message: `message ${index} of ${envelopes.length} was not accepted but ${explain(verdict)}`,
          })
    },
    attempt: (transport, channel, envelopes, deadlineMs) =>
      waiting.done('sending', sending(transport, channel, envelopes, deadlineMs)),
    async inspect(transport, place, minPriority) {
      if (transport.inspect === undefined) throw new AssertionError({ message: 'the transport has no inspect()' })
      return waiting.done('inspecting', transport.inspect(place, minPriority))
    },
    deadLetters: (transport, place, limit = 1_000) =>
      waiting.done('listing dead letters', list(transport, place, limit)),
    async redrive(transport, place, ids) {
      if (transport.deadLetters === undefined) throw new AssertionError({ message: 'the transport has no deadLetters' })
      return waiting.done('redriving', transport.deadLetters.redrive(place, ids))
    },
    arrived: (some, count) =>
      waiting.until(
        `${count} ${count === 1 ? 'delivery' : 'deliveries'}`,
        () => some.reduce((sum, { handed }) => sum + handed.length, 0) >= count,
        () => some.map((each) => `${labels.get(each)} got ${each.handed.length}`).join('; '),
      ),
  }

  return {
    bench,
    async finish() {
      ended = true
      for (const transport of opened) {
        try {
          await waiting.done('closing a transport', transport.close())
        } catch (error) {
          breaches.push(`close: ${String(error)}`)
        }
      }
      return [...new Set(breaches)].slice(0, 5)
    },
  }
}

async function list(transport: MessageTransport, place: ChannelPlace, limit: number): Promise<readonly DeadLetter[]> {
  if (transport.deadLetters === undefined) throw new AssertionError({ message: 'the transport has no deadLetters' })
  const letters: DeadLetter[] = []
  for await (const letter of transport.deadLetters.list(place, { limit })) letters.push(letter)
  return letters
}

/** A verdict in words. */
export function explain(verdict: SendResult | undefined): string {
  if (verdict?.status !== 'failed') return String(verdict?.status)
  const { error } = verdict
  return isFairleadError(error)
    ? `failed: ${error.message} (effect ${error.effect})`
    : `failed without a code: ${String(error)}`
}
