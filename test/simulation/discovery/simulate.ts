// One run: the real discovery with its resolvers and balancers, on virtual time, against servers that are a few numbers each.
import type { Lease, Outcome, Resolver } from '../../../src/core/contracts/balancer.ts'
import type { BalancerFactory } from '../../../src/discovery/balancers/factory.ts'
import { createDiscovery, type DiscoveryOptions } from '../../../src/discovery/discovery.ts'
import { staticSource } from '../../../src/discovery/static-source.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { type Conduct, MEDIAN_MS, RATE, RUN_MS, type Scenario, SERVERS } from './scenarios.ts'
import { type VirtualClock, virtualClock } from './virtual-clock.ts'

/** What came of a run. */
export interface Run {
  readonly calls: number
  readonly errors: number
  /** Answered, and too late. */
  readonly late: number
  /** Share of the calls that failed or were late. */
  readonly bad: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
}

/** What to run. */
export interface RunOptions {
  readonly scenario: Scenario
  readonly clients: number
  readonly seed: number
  /** Absent: the default of `createDiscovery`. Given the zone of the client, and where the clients are. */
  readonly balancer?: ((zone: string, callers: Readonly<Record<string, number>>) => BalancerFactory) | undefined
  /** Other options of `createDiscovery`, for those that are broken on purpose. */
  readonly options?: Partial<DiscoveryOptions> | undefined
}

const ZONES = ['a', 'b', 'c']
const KEYS = 2_000
const LATE_MS = 1_000
// Spread of the logarithm of a latency: 1 call in 100 takes twice the median.
const SPREAD = 0.3

interface Call {
  readonly lease: Lease
  readonly startedAt: number
  settled: boolean
}

/** Runs a scenario. The same seed gives the same run. */
export async function simulate(options: RunOptions): Promise<Run> {
  const { scenario, clients, seed } = options
  const { runMs = RUN_MS, rate = RATE, lateMs = LATE_MS } = scenario
  const clock = virtualClock()
  const chance = seededRandom(seed)
  const zoneOf = (client: number): string => ZONES[client % ZONES.length] as string
  const callers: Record<string, number> = {}
  for (let client = 0; client < clients; client++)
    callers[zoneOf(client)] = (callers[zoneOf(client)] ?? 0) + 1 / clients

  const listing = (atMs: number) =>
    Array.from({ length: SERVERS }, (_, server) => server)
      .filter((server) => scenario.listed?.(server, atMs) ?? true)
      .map((server) => ({
        id: String(server),
        addresses: [{ host: '10.0.0.1', port: 80 + server }],
        zone: zoneOf(server),
      }))
  const source = staticSource({ service: listing(0) })
  const discoveries = Array.from({ length: clients }, (_, client) =>
    createDiscovery({
      source,
      clock,
      random: seededRandom(seed * 1_000 + client),
      ...(options.balancer === undefined ? {} : { balancer: options.balancer(zoneOf(client), callers) }),
      ...options.options,
    }),
  )
  const resolvers = discoveries.map((each) => each.resolver('service'))
  await known(clock, resolvers)
  const began = clock.now()

  const latencies: number[] = []
  let calls = 0
  let errors = 0
  let late = 0
  const settle = (call: Call, kind: Outcome['kind']): void => {
    if (call.settled) return
    call.settled = true
    const latencyMs = clock.now() - call.startedAt
    call.lease.report({ kind, latencyMs })
    if (kind === 'failure') errors++
    else {
      latencies.push(latencyMs)
      if (latencyMs > lateMs) late++
    }
  }
  const servers = Array.from({ length: SERVERS }, (_, server) => makeServer(server, scenario, clock, chance, began))
  const callOnce = (): void => {
    calls++
    const key = String(Math.floor(chance() * KEYS))
    const resolver = resolvers[Math.floor(chance() * clients)] as Resolver
    let lease: Lease
    try {
      lease = resolver.acquire({ key }) as Lease
    } catch {
      errors++
      return
    }
    const call: Call = { lease, startedAt: clock.now(), settled: false }
    servers[Number(lease.endpoint.id)]?.((kind) => settle(call, kind))
    if (scenario.timeoutMs !== undefined) clock.setTimer((late) => settle(late, 'failure'), scenario.timeoutMs, call)
  }
  const arrive = (): void => {
    if (clock.now() - began >= runMs) return
    callOnce()
    clock.setTimer(arrive, (-Math.log(1 - chance()) * 1_000) / rate, undefined)
  }
  arrive()
  for (let atMs = 1_000; scenario.listed !== undefined && atMs < runMs; atMs += 1_000)
    clock.setTimer(() => source.set('service', listing(atMs)), atMs, undefined)
  clock.runUntil(began + runMs)
  // What is still in flight ends, so that nothing is left out of the count.
  for (let more = 0; more < 60 && latencies.length + errors < calls; more++) clock.runUntil(clock.now() + 1_000)
  await Promise.all(discoveries.map((each) => each.close()))

  latencies.sort((a, b) => a - b)
  const at = (share: number): number => latencies[Math.floor(share * latencies.length)] ?? Number.NaN
  const unanswered = calls - latencies.length - errors
  return {
    calls,
    errors: errors + unanswered,
    late,
    bad: (errors + unanswered + late) / calls,
    p50: at(0.5),
    p99: at(0.99),
    p999: at(0.999),
  }
}

// The first answer of the source takes its way through promises and timers; after it, acquiring is synchronous.
async function known(clock: VirtualClock, resolvers: readonly Resolver[]): Promise<void> {
  for (let turn = 0; turn < 100; turn++) {
    const leases = resolvers.map((each) => each.acquire())
    const waiting = leases.some((lease) => lease instanceof Promise)
    clock.runUntil(clock.now() + 10)
    for (const lease of leases) (await lease).report({ kind: 'cancelled', latencyMs: 0 })
    if (!waiting) return
  }
  throw new Error('the source was not heard')
}

// Given an arriving call and how to end it.
type Server = (end: (kind: Outcome['kind']) => void) => void

function makeServer(
  server: number,
  scenario: Scenario,
  clock: VirtualClock,
  chance: () => number,
  began: number,
): Server {
  const queue: ((kind: Outcome['kind']) => void)[] = []
  let head = 0
  let busy = 0
  const work = (end: (kind: Outcome['kind']) => void): void => {
    busy++
    const conduct = scenario.conduct(server, clock.now() - began)
    clock.setTimer(
      () => {
        busy--
        end(conduct.kind === 'fails' ? 'failure' : 'success')
        next()
      },
      workMs(conduct, scenario.medianMs ?? MEDIAN_MS, chance),
      undefined,
    )
  }
  const next = (): void => {
    const slots = scenario.slots?.(server, clock.now() - began) ?? Infinity
    while (head < queue.length && busy < slots) work(queue[head++] as (kind: Outcome['kind']) => void)
    if (head === queue.length && head > 0) {
      queue.length = 0
      head = 0
    }
  }
  return (end) => {
    queue.push(end)
    next()
  }
}

function workMs(conduct: Conduct, medianMs: number, chance: () => number): number {
  if (conduct.kind === 'takes') return conduct.ms
  if (conduct.kind === 'fails') return conduct.afterMs
  // Log-normal, by Box and Muller.
  const normal = Math.sqrt(-2 * Math.log(1 - chance())) * Math.cos(2 * Math.PI * chance())
  return medianMs * Math.exp(SPREAD * normal) * (conduct.times ?? 1) + (conduct.laterMs ?? 0)
}
