// Clients under load: each with a discovery, a transport and a proxy of its own, as each would be a process of its own. They send at a steady pace,
// whether or not answers come, and count every attempt: what the pick took, and how it was reported.
import { setTimeout as sleep } from 'node:timers/promises'
import { type HttpTransport, httpTransport } from '../../../src/adapters/http/index.ts'
import type { Lease, Outcome, Resolver } from '../../../src/core/contracts/balancer.ts'
import type { Source } from '../../../src/core/contracts/source.ts'
import type { PipelineEvent } from '../../../src/core/events.ts'
import { createDiscovery, type Discovery, type DiscoveryOptions } from '../../../src/discovery/index.ts'
import type { StandardOptions } from '../../../src/policies/index.ts'
import { createProxy } from '../../../src/rpi/index.ts'
import { Parcels } from './parcels.ts'

/** One attempt, or one that was not sent: what the resolver gave, and how it went. */
export interface Attempt {
  readonly endpoint: string
  /** Undefined while it is in flight. */
  outcome: Outcome['kind'] | undefined
}

/** What a call was answered. */
export interface Answer {
  readonly by: string
  readonly colour: string
}

/** One client. */
export interface Client {
  readonly attempts: readonly Attempt[]
  /** By the id of the call. */
  readonly answers: ReadonlyMap<string, Answer>
  readonly failures: readonly unknown[]
  readonly events: readonly PipelineEvent[]
  readonly discovery: Discovery
  /** One call; settles when it is over, whichever way. */
  call(): Promise<void>
  /** Whether somebody has answered, by an attempt from that one on. Default: ever. */
  servedBy(id: string, from?: number): boolean
  close(): Promise<void>
}

/** What a client is made of. */
export interface ClientOptions {
  readonly source: Source
  /** Default `track`, which may be called twice. */
  readonly operation?: 'track' | 'order'
  readonly discovery?: Omit<DiscoveryOptions, 'source'>
  readonly policies?: StandardOptions
}

let clients = 0

export function createClient({
  source,
  operation = 'track',
  discovery: found = {},
  policies = {},
}: ClientOptions): Client {
  const name = ++clients
  const attempts: Attempt[] = []
  const answers = new Map<string, Answer>()
  const failures: unknown[] = []
  const events: PipelineEvent[] = []
  const onEvent = (event: PipelineEvent): void => void events.push(event)
  const discovery = createDiscovery({ source, onEvent, ...found })
  const transport: HttpTransport = httpTransport({
    discovery: { resolver: (service) => counting(discovery.resolver(service), attempts) },
  })
  const proxy = createProxy(Parcels, {
    transport,
    // A busy machine is no fault of an instance; tests of timeouts say their own.
    deadlineMs: 25_000,
    attemptTimeoutMs: 20_000,
    onEvent,
    ...policies,
  })
  let calls = 0
  return {
    attempts,
    answers,
    failures,
    events,
    discovery,
    async call() {
      const call = `${name}-${++calls}`
      try {
        answers.set(call, await proxy[operation]({ call }))
      } catch (error) {
        failures.push(error)
      }
    },
    servedBy: (id, from = 0) =>
      attempts.slice(from).some(({ endpoint, outcome }) => endpoint === id && outcome === 'success'),
    async close() {
      await transport.close()
      await discovery.close()
    },
  }
}

function counting(resolver: Resolver, attempts: Attempt[]): Resolver {
  const counted = ({ endpoint, report }: Lease, lease: Lease): Lease => {
    const attempt: Attempt = { endpoint: endpoint.id, outcome: undefined }
    attempts.push(attempt)
    return {
      endpoint,
      report(outcome) {
        attempt.outcome ??= outcome.kind
        report.call(lease, outcome)
      },
    }
  }
  return {
    service: resolver.service,
    acquire(context) {
      const lease = resolver.acquire(context)
      return 'report' in lease ? counted(lease, lease) : lease.then((each) => counted(each, each))
    },
    untried: (avoid) => resolver.untried(avoid),
    onRemoved: (listener) => resolver.onRemoved?.(listener) ?? (() => {}),
    refresh: () => resolver.refresh(),
    close: () => resolver.close(),
  }
}

/** Calls under way. */
export interface Load {
  readonly clients: readonly Client[]
  /** Resolves once each client has begun so many more calls. */
  more(calls: number): Promise<void>
  /** No new calls; resolves once all are over and the clients are closed. */
  stop(): Promise<void>
}

/** Each client begins a call every `everyMs`. */
export function startLoad(count: number, options: ClientOptions, everyMs: number = 12): Load {
  const all = Array.from({ length: count }, () => createClient(options))
  const begun = all.map(() => 0)
  let running = true
  const loops = all.map(async (client, index) => {
    const out: Promise<void>[] = []
    while (running) {
      out.push(client.call())
      begun[index] = (begun[index] as number) + 1
      await sleep(everyMs)
    }
    await Promise.all(out)
  })
  return {
    clients: all,
    async more(calls) {
      const wanted = begun.map((each) => each + calls)
      await until(() => begun.every((each, index) => each >= (wanted[index] as number)))
    },
    async stop() {
      running = false
      await Promise.all(loops)
      await Promise.all(all.map((client) => client.close()))
    },
  }
}

/** Waits for a fact. The timeout of the test ends it. */
export async function until(fact: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await fact())) await sleep(10)
}
