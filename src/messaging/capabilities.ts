// What a service needs of a transport, held against what the transport promises: at start-up, before the first message is lost.
import type { MessageTransport, TransportCapabilities } from '../core/contracts/transport.ts'
import { countOption, invalidOption, knownOptions } from '../core/options.ts'
import { createError } from '../errors/classes.ts'

/** What is needed of a transport. What is left out does not matter. A stronger promise than the one asked for fits as well. */
export interface Needs {
  readonly modes?: 'queue' | 'topic' | readonly ('queue' | 'topic')[] | undefined
  /** At least: `none`, `key`, `channel`. */
  readonly order?: TransportCapabilities['order'] | undefined
  readonly delivery?: TransportCapabilities['delivery'] | undefined
  readonly persistent?: boolean | undefined
  readonly durableSubscriptions?: boolean | undefined
  /** At least: `memory`, `disk`, `replicated`; a message that was `handled` needs no place. */
  readonly acknowledged?: 'memory' | 'disk' | 'replicated' | 'handled' | undefined
  readonly competingConsumers?: boolean | undefined
  /** At least so long. */
  readonly dedupeWindowMs?: number | undefined
  readonly redeliveryCount?: boolean | 'broker' | undefined
  /** Delays of so long, milliseconds. */
  readonly delayMs?: number | undefined
  readonly extend?: boolean | undefined
  readonly nack?: 'requeue' | 'block' | undefined
  readonly priority?: boolean | undefined
  readonly replay?: boolean | undefined
  readonly temporary?: boolean | undefined
  readonly deadLetters?: boolean | 'native' | undefined
  /** Whether a send to nowhere must not go unnoticed. */
  readonly unroutable?: 'detected' | undefined
  readonly waiting?: 'counted' | undefined
  /** Of one message, attributes and headers included. */
  readonly payloadBytes?: number | undefined
  /** At most: `microseconds`, `milliseconds`, `polling`. */
  readonly latency?: TransportCapabilities['latency'] | undefined
  /** One that other programs speak, by its name in `protocols`. */
  readonly protocol?: string | undefined
}

/** One need that a transport does not meet. */
export interface UnmetNeed {
  readonly need: string
  readonly needed: string
  readonly promised: string
  /** How it could be made up for, where there is a way. */
  readonly instead?: string | undefined
}

interface Check {
  /** Refuses what cannot be needed: a misspelt word would be met by every promise. */
  readonly valid: (name: string, needed: unknown) => void
  readonly meet: (needed: never, promised: TransportCapabilities) => { readonly ok: boolean; readonly promised: string }
}

const oneOf =
  (choices: readonly unknown[]) =>
  (name: string, needed: unknown): void => {
    if (!choices.includes(needed)) throw invalidOption(name, needed, `give ${choices.join(', ')}`)
  }
// No timer waits for these: they may be longer than one can.
const milliseconds = (name: string, needed: unknown): void => {
  if (typeof needed !== 'number' || !(needed >= 0)) throw invalidOption(name, needed, 'give milliseconds')
}

// `beneath`: what may be promised and cannot be asked for.
const atLeast = (
  scale: readonly string[],
  of: (capabilities: TransportCapabilities) => string,
  beneath: readonly string[] = [],
): Check => ({
  valid: oneOf(scale),
  meet: (needed: string, capabilities) => {
    const promised = of(capabilities)
    const all = [...beneath, ...scale]
    return { ok: all.indexOf(promised) >= all.indexOf(needed), promised }
  },
})

const flag = (of: (capabilities: TransportCapabilities) => boolean): Check => ({
  valid: oneOf([true, false]),
  meet: (needed: boolean, capabilities) => ({
    ok: !needed || of(capabilities),
    promised: of(capabilities) ? 'yes' : 'no',
  }),
})

const number = (valid: Check['valid'], of: (capabilities: TransportCapabilities) => number): Check => ({
  valid,
  meet: (needed: number, capabilities) => ({
    ok: of(capabilities) >= needed,
    promised: String(of(capabilities)),
  }),
})

// `true` asks for any way, a word for that one.
const some = (best: string, of: (capabilities: TransportCapabilities) => string): Check => ({
  valid: oneOf([true, false, best]),
  meet: (needed: boolean | string, capabilities) => ({
    ok: needed === false || (needed === true ? of(capabilities) !== 'none' : of(capabilities) === best),
    promised: of(capabilities),
  }),
})

const checks: { readonly [K in keyof Needs]-?: Check } = {
  modes: {
    valid(name, needed) {
      const modes = [needed].flat()
      if (modes.length === 0) throw invalidOption(name, needed, 'give queue, topic or both')
      for (const mode of modes) oneOf(['queue', 'topic'])(name, mode)
    },
    meet: (needed: string | readonly string[], { modes }) => ({
      ok: [needed].flat().every((mode) => (modes as readonly string[]).includes(mode)),
      promised: modes.join(', '),
    }),
  },
  order: atLeast(['none', 'key', 'channel'], ({ order }) => order),
  delivery: atLeast(['at-most-once', 'at-least-once'], ({ delivery }) => delivery),
  persistent: flag(({ persistent }) => persistent),
  durableSubscriptions: flag(({ durableSubscriptions }) => durableSubscriptions),
  // What depends on how the broker is configured cannot be promised here.
  acknowledged: atLeast(['memory', 'disk', 'replicated', 'handled'], ({ acknowledged }) => acknowledged, [
    'configured',
  ]),
  competingConsumers: flag(({ competingConsumers }) => competingConsumers),
  dedupeWindowMs: number(milliseconds, ({ dedupeWindowMs }) => dedupeWindowMs),
  redeliveryCount: some('broker', ({ redeliveryCount }) => redeliveryCount),
  delayMs: {
    valid: milliseconds,
    meet: (needed: number, { delay, maxDelayMs }) => ({
      ok: delay !== 'none' && maxDelayMs >= needed,
      promised: delay === 'none' ? 'no delay' : `${delay}, at most ${maxDelayMs}`,
    }),
  },
  extend: flag(({ extend }) => extend),
  nack: {
    valid: oneOf(['requeue', 'block']),
    meet: (needed: string, { nack }) => ({ ok: nack === needed || nack === 'either', promised: nack }),
  },
  priority: flag(({ priority }) => priority),
  replay: flag(({ replay }) => replay),
  temporary: flag(({ temporary }) => temporary),
  deadLetters: some('native', ({ deadLetters }) => deadLetters),
  unroutable: {
    valid: oneOf(['detected']),
    meet: (_: string, { unroutable }) => ({ ok: unroutable !== 'silent', promised: unroutable }),
  },
  waiting: atLeast(['counted'], ({ waiting }) => waiting, ['leased']),
  payloadBytes: number(
    (name, needed) => void countOption(name, needed as number, 0, 0),
    ({ maxPayloadBytes }) => maxPayloadBytes,
  ),
  latency: atLeast(['polling', 'milliseconds', 'microseconds'], ({ latency }) => latency),
  protocol: {
    valid(name, needed) {
      if (typeof needed !== 'string' || needed === '') throw invalidOption(name, needed, 'give the name of a protocol')
    },
    meet: (needed: string, { protocols }) => ({
      ok: protocols.some((protocol) => protocol.toLowerCase() === needed.toLowerCase()),
      promised: protocols.join(', ') || 'none',
    }),
  },
}

const INSTEAD: { readonly [K in keyof Needs]?: string } = {
  persistent: 'publish through an outbox: the row stays until the message is accepted',
  durableSubscriptions: 'publish through an outbox whose relay tries again until the subscriber is back',
  acknowledged: 'publish through an outbox: its commit is the durable one',
  order: 'number the messages of a key, and let the receiver keep the newest',
  dedupeWindowMs: 'let the consumer have an inbox: it knows each message for as long as you say',
  redeliveryCount: 'let the consumer have an inbox: it counts what was begun and not finished',
  deadLetters: 'give the consumer a deadLetter place of its own',
  delayMs: 'publish through an outbox, which holds a message until its time',
  payloadBytes: 'send a reference to the data (ID-only event, claim check)',
  waiting: 'the trigger holds the messages itself, and they count as in flight meanwhile',
  temporary: 'name a queue for the replies of each process',
  replay: 'keep the events in a feed or a table of your own',
}

const NAMES = Object.keys(checks)

/**
 * The needs that a transport does not meet; none: it fits.
 * @throws FairleadError `INVALID_OPTIONS` for a need that there is not, and for a value that it does not have
 */
export function unmetNeeds(capabilities: TransportCapabilities, needs: Needs): readonly UnmetNeed[] {
  knownOptions('needs', needs, NAMES)
  const unmet: UnmetNeed[] = []
  for (const [name, needed] of Object.entries(needs)) {
    if (needed === undefined) continue
    const { valid, meet } = checks[name as keyof Needs]
    valid(`needs.${name}`, needed)
    const { ok, promised } = meet(needed as never, capabilities)
    if (!ok)
      unmet.push({
        need: name,
        needed: needed === true ? 'yes' : String(needed),
        promised,
        instead: INSTEAD[name as keyof Needs],
      })
  }
  return unmet
}

/**
 * Refuses to start on a transport that does not promise what the service relies on.
 * @throws FairleadError `CAPABILITY_MISSING`: the message compares line by line, `details.unmet` has the same as data;
 *   `INVALID_OPTIONS` for a need, or a value of one, that there is not
 * @example requireCapabilities(transport, { order: 'key', persistent: true, delayMs: 60_000 })
 */
export function requireCapabilities(transport: Pick<MessageTransport, 'name' | 'capabilities'>, needs: Needs): void {
  if (transport?.capabilities === undefined) throw invalidOption('transport', transport, 'give a MessageTransport')
  const unmet = unmetNeeds(transport.capabilities, needs)
  if (unmet.length === 0) return
  throw createError({
    code: 'CAPABILITY_MISSING',
    message: `transport ${transport.name} does not promise what is needed:\n${comparison(unmet)}`,
    transport: transport.name,
    details: { unmet },
  })
}

// One line a need: what is needed, what is promised, and what could be done.
function comparison(unmet: readonly UnmetNeed[]): string {
  const wide = (of: (need: UnmetNeed) => string): number => Math.max(...unmet.map((need) => of(need).length))
  const [first, second, third] = [wide((n) => n.need), wide((n) => n.needed), wide((n) => n.promised)]
  return unmet
    .map(({ need, needed, promised, instead }) =>
      `  ${need.padEnd(first)}  needed ${needed.padEnd(second)}  promised ${instead === undefined ? promised : promised.padEnd(third)}${instead === undefined ? '' : `  (${instead})`}`.trimEnd(),
    )
    .join('\n')
}
