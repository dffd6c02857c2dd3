// The rules of Consul for blocking queries (developer.hashicorp.com/consul/api-docs/features/blocking), and what an answer says.
import type { SourceUpdate } from '../../core/contracts/source.ts'
import type { Asked } from '../../discovery/asking.ts'
import { createError } from '../../errors/classes.ts'
import { jsonOf } from '../registry/answer.ts'
import type { RegistryAnswer, RegistryClient } from '../registry/client.ts'
import { type AgentSettings, pathOf, queryOf } from './options.ts'
import { type Reading, type ReadingRules, readEntries } from './read-entries.ts'

/** Who may answer. */
export type Consistency = 'stale' | 'default' | 'consistent' | 'cached'

/** What is asked. */
export interface BlockingOptions {
  readonly client: RegistryClient
  readonly agent: AgentSettings
  readonly path: string
  /** Without index, wait and consistency. */
  readonly query: readonly (readonly [string, string])[]
  readonly consistency: Consistency
  readonly waitMs: number
  readonly rules: ReadingRules
}

// An index may change all the time for reasons that have nothing to do with the service. Some questions may follow each other at once, so that a
// burst of changes is seen as it comes (each is two: service and check reach the catalog one after the other); then one a second.
const GAP_MS = 1_000
const BURST = 10
// Something between took the index away: without one, asking is polling.
const POLL_MS = 10_000

type Snapshot = Extract<SourceUpdate, { readonly type: 'snapshot' }>

interface Heard {
  readonly update: Snapshot
  readonly index: bigint | undefined
}

/** Asks again and again, each time with what the time before has brought. */
export class BlockingQuery {
  readonly #options: BlockingOptions
  /** 0: ask for an answer at once. */
  #index = 0n
  /** The highest index so far, errors or not. */
  #highest = 0n
  #told: string | undefined
  #known: readonly string[] = []
  #freeAt = Number.NEGATIVE_INFINITY

  constructor(options: BlockingOptions) {
    this.#options = options
  }

  async ask(signal: AbortSignal): Promise<Asked> {
    const before = this.#index
    try {
      const first = await this.#hear(this.#options.consistency, signal)
      const { update, index } = this.#isDoubtful(first) ? await this.#hear('consistent', signal) : first
      // One that goes back: the servers were restored, and would wait for the old one in vain.
      this.#index = index === undefined || index < before ? 0n : index
      this.#highest = index ?? 0n
      this.#known = update.endpoints.map(({ id }) => id)
      const text = JSON.stringify(update)
      // The same at the same index: the wait is over, and it is still so, which is worth telling once a wait.
      const news = text !== this.#told || index === before
      this.#told = text
      return { update: news ? update : undefined, againMs: index === undefined ? POLL_MS : this.#pauseMs() }
    } catch (error) {
      this.#index = 0n
      // Once it is well again, that has to be told, also when nothing has changed. A question that was broken off by us is no failure.
      if (!signal.aborted) this.#told = undefined
      throw error
    }
  }

  async #hear(consistency: Consistency, signal: AbortSignal): Promise<Heard> {
    const { client, agent, path, waitMs } = this.#options
    const waits = this.#index > 0n && consistency === this.#options.consistency
    const query = [
      ...this.#options.query,
      ...(consistency === 'default' ? [] : [[consistency, ''] as const]),
      ...(waits ? queryOf({ index: String(this.#index), wait: `${Math.round(waitMs)}ms` }) : []),
    ]
    const answer = await client.request({
      path: pathOf(path, query),
      signal,
      timeoutMs: (waits ? Math.ceil(waitMs * (1 + 1 / 16)) : 0) + agent.timeoutMs,
    })
    return { update: updateOf(answer, consistency, this.#options), index: indexOf(answer) }
  }

  // A server that starts answers for a moment before it has read its own log, from less than it knows. Only the leader, made sure of, can say
  // that endpoints are gone and the index went back as well: a registry that is really empty, or has an old state.
  #isDoubtful({ update, index }: Heard): boolean {
    if (index === undefined || index >= this.#highest || this.#options.consistency === 'consistent') return false
    const named = new Set(update.endpoints.map(({ id }) => id))
    return this.#known.some((id) => !named.has(id))
  }

  #pauseMs(): number {
    const now = this.#options.agent.clock.now()
    this.#freeAt = Math.max(this.#freeAt, now - BURST * GAP_MS) + GAP_MS
    return Math.max(0, this.#freeAt - now)
  }
}

// A uint64: more than a number of JavaScript holds. 0 is a bug of some versions, and would be answered at once for ever; 1 is always safe.
function indexOf(answer: RegistryAnswer): bigint | undefined {
  const text = answer.headers['x-consul-index']
  if (text === undefined || !/^\d{1,20}$/.test(text)) return undefined
  const index = BigInt(text)
  return index < 1n ? 1n : index
}

function updateOf(
  answer: RegistryAnswer,
  consistency: Consistency,
  { agent, rules }: Pick<BlockingOptions, 'agent' | 'rules'>,
): Snapshot {
  const entries = jsonOf('Consul', answer)
  if (!Array.isArray(entries))
    throw unusable('REPLY_UNDECODABLE', 'Consul answered something that is no list of entries')
  const { headers } = answer
  const notes: string[] = []
  if (hasNoLeader(headers, consistency)) {
    if (entries.length === 0)
      throw unusable('UNAVAILABLE', 'a server of Consul that has no leader knows nobody: that is no answer')
    notes.push('the server of Consul that answered has lost its leader: this may be old')
  }
  if (headers['x-consul-results-filtered-by-acls'] === 'true') {
    if (entries.length === 0)
      throw unusable('FORBIDDEN', 'the token may not read this service: Consul has filtered its entries')
    notes.push('the token may not read all entries')
  }
  // Who comes without a token is not told that something was kept from him.
  if (entries.length === 0 && !agent.hasToken && headers['x-consul-default-acl-policy'] === 'deny')
    notes.push('no token was sent and the agent denies by default: nobody may be there, or nobody may be seen')
  const reading = readEntries(entries, rules)
  if (reading.nothing)
    throw unusable('REPLY_INVALID', `not one entry that Consul answered can be read; ${leftOutNote(reading)}`)
  if (reading.leftOut.size > 0) notes.push(leftOutNote(reading))
  return {
    type: 'snapshot',
    endpoints: reading.endpoints,
    ...(notes.length === 0 ? {} : { note: notes.join('; ') }),
  }
}

const LONGEST_CONTACT_MS = 10_000

// The agent's cache, and its view of a stream of changes, which answers most queries that wait, know nothing of leaders and say false.
function hasNoLeader(headers: RegistryAnswer['headers'], consistency: Consistency): boolean {
  if (consistency === 'cached' || headers['x-consul-query-backend'] === 'streaming') return false
  const contactMs = Number(headers['x-consul-lastcontact'] ?? 0)
  return headers['x-consul-knownleader'] === 'false' || contactMs > LONGEST_CONTACT_MS
}

function leftOutNote({ leftOut }: Reading): string {
  return `left out: ${[...leftOut].map(([why, count]) => `${count} with ${why}`).join(', ')}`
}

function unusable(code: 'REPLY_UNDECODABLE' | 'REPLY_INVALID' | 'UNAVAILABLE' | 'FORBIDDEN', message: string): Error {
  return createError({ code, message, stack: false })
}
