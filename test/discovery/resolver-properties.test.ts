// What must hold whatever happens: random updates, calls, outcomes and waits, with seeds, against a plain model of the rules.
import { describe, expect, it } from 'vitest'
import type { EndpointView, Lease, Outcome } from '../../src/core/contracts/balancer.ts'
import type { Endpoint } from '../../src/core/contracts/source.ts'
import { BALANCER_NAMES, balancerNamed } from '../../src/discovery/balancers/names.ts'
import { createDiscovery, type DiscoveryOptions } from '../../src/discovery/discovery.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { seededRandom } from '../../src/testing/seeded-random.ts'
import { at, toldSource } from './support.ts'

const KINDS: readonly Outcome['kind'][] = ['success', 'failure', 'overload', 'not-sent', 'cancelled']
const STATES = ['ready', 'ready', 'ready', 'ready', 'starting', 'draining', 'down'] as const

async function run(seed: number, balancer: string, options: Partial<DiscoveryOptions> = {}): Promise<void> {
  const random = seededRandom(seed)
  const chance = (share: number): boolean => random() < share
  const below = (n: number): number => Math.floor(random() * n)
  const clock = fakeClock({ now: random() * 1e6 })
  const source = toldSource()
  const every = new Set<EndpointView>()
  let view: readonly EndpointView[] = []
  let panic = false
  const inner = balancerNamed(balancer)
  if (inner === undefined) throw new Error(balancer)
  const removed: string[] = []
  // Checked after the step: inside an event the view is being changed.
  const ejectedNow: string[] = []
  const discovery = createDiscovery({
    source,
    clock,
    random: seededRandom(seed + 1),
    debounceMs: 0,
    massLoss: false,
    balancer: (seams) => {
      const made = inner(seams)
      return {
        update(given) {
          view = given
          for (const each of given) every.add(each)
          made.update(given)
        },
        pick: (context) => made.pick(context),
      }
    },
    onEvent(event) {
      if (event.type === 'panic') panic = event.step === 'on'
      if (event.type === 'endpoint-ejected') ejectedNow.push(event.endpoint)
    },
    ...options,
  })
  const resolver = discovery.resolver('stock')
  resolver.onRemoved?.((endpoint) => void removed.push(endpoint.id))
  let listed = new Map<string, Endpoint>()
  const inFlight: { readonly lease: Lease; readonly probe: boolean }[] = []
  const failures: string[] = []
  const expectThat = (holds: boolean, what: string): void => {
    if (!holds) failures.push(what)
  }
  const ejectedIds = (): Set<string> => {
    const figures = discovery.inspect('stock')
    return new Set(figures?.endpoints.filter((each) => each.ejected).map((each) => each.endpoint.id))
  }

  const update = (): void => {
    const endpoints: Endpoint[] = []
    for (let n = 0; n < 12; n++)
      if (chance(0.75))
        endpoints.push(
          at(`e${n}`, {
            state: STATES[below(STATES.length)] as 'ready',
            ...(chance(0.2) ? { priority: below(2) } : {}),
            ...(chance(0.2) ? { weight: below(3) } : {}),
          }),
        )
    source.list(...endpoints)
    listed = new Map(endpoints.map((each) => [each.id, each]))
  }
  const call = (): void => {
    const avoid = new Set(Array.from({ length: below(4) }, () => `e${below(12)}`))
    const before = ejectedIds()
    const due = new Set(
      discovery
        .inspect('stock')
        ?.endpoints.filter((each) => each.ejectedForMs === 0)
        .map((each) => each.endpoint.id),
    )
    let lease: Lease
    try {
      lease = resolver.acquire({ avoid, ...(chance(0.3) ? { key: `k${below(5)}` } : {}) }) as Lease
    } catch (error) {
      expectThat((error as { code?: string }).code === 'NO_ENDPOINT', `threw ${String(error)}`)
      expectThat(
        [...listed.values()].every((each) => each.state === 'down'),
        'refused although somebody is there',
      )
      return
    }
    const { id } = lease.endpoint
    const endpoint = listed.get(id)
    expectThat(endpoint !== undefined, `${id} is gone and was picked`)
    expectThat(endpoint?.state !== 'down', `${id} is down and was picked`)
    // An ejected one is called in panic, as a probe when its time is over, or where the call has nowhere else to go.
    const elsewhere = [...listed.values()].some(
      (each) => each.state !== 'down' && !avoid.has(each.id) && !before.has(each.id),
    )
    if (before.has(id)) expectThat(panic || due.has(id) || !elsewhere, `${id} is ejected and was picked`)
    if (avoid.has(id)) {
      const others = [...listed.values()].some((each) => each.state !== 'down' && !avoid.has(each.id))
      expectThat(!others, `${id} was tried and picked again`)
    }
    inFlight.push({ lease, probe: before.has(id) && due.has(id) })
  }
  const report = (): void => {
    if (inFlight.length === 0) return
    const [{ lease }] = inFlight.splice(below(inFlight.length), 1) as [(typeof inFlight)[number]]
    const kind = chance(0.4) ? 'success' : (KINDS[below(KINDS.length)] as Outcome['kind'])
    const already = ejectedIds()
    ejectedNow.length = 0
    lease.report({ kind, latencyMs: random() * 1_000, ...(chance(0.1) ? { retryAfterMs: random() * 1e5 } : {}) })
    if (chance(0.2)) lease.report({ kind: 'failure', latencyMs: 1 })
    for (const id of ejectedNow) {
      expectThat(id === lease.endpoint.id, `${id} was ejected by a call at ${lease.endpoint.id}`)
      // One that was ejected already stays so by its probe: that takes nobody away.
      if (already.has(id)) continue
      const classOf = (each: Endpoint): string => `${each.state} ${each.weight === 0}`
      const alike = [...listed.values()].filter((each) => classOf(each) === classOf(listed.get(id) as Endpoint))
      const now = ejectedIds()
      const out = alike.filter((each) => now.has(each.id)).length
      expectThat(out * 2 <= alike.length && out < alike.length, `${out} of ${alike.length} are ejected`)
    }
  }

  resolver.untried(new Set())
  update()
  for (let step = 0; step < 1_500; step++) {
    const dice = random()
    if (dice < 0.03) update()
    else if (dice < 0.05) await clock.advance(random() * 20_000)
    else if (dice < 0.1) source.tell({ type: 'error', error: new Error('registry down') })
    else if (dice < 0.55) call()
    else report()

    const held = new Map<string, number>()
    for (const { lease } of inFlight) held.set(lease.endpoint.id, (held.get(lease.endpoint.id) ?? 0) + 1)
    for (const each of every) expectThat(each.inFlight >= 0, `${each.endpoint.id} has ${each.inFlight} in flight`)
    for (const { endpoint, inFlight: count } of discovery.inspect('stock')?.endpoints ?? [])
      expectThat(count <= (held.get(endpoint.id) ?? 0), `${endpoint.id} has ${count} in flight`)
    for (const each of view) {
      expectThat(listed.has(each.endpoint.id), `${each.endpoint.id} is gone and in the view`)
      expectThat(panic || !each.ejected, `${each.endpoint.id} is ejected and in the view`)
      expectThat(each.weight > 0, `${each.endpoint.id} weighs ${each.weight}`)
    }
    const untried = [...listed.values()].filter((each) => (each.state ?? 'ready') === 'ready').length
    const counted = resolver.untried(new Set())
    expectThat(counted >= 0 && counted <= untried, `${counted} untried of ${untried} ready`)
    if (failures.length > 0) expect.fail(`seed ${seed}, ${balancer}, step ${step}: ${failures[0]}`)
  }
  while (inFlight.length > 0) report()
  for (const each of every) expect(each.inFlight).toBe(0)
  for (const each of every) expect(each.oldestInFlightMs).toBe(0)
  await discovery.close()
  expect(clock.pending).toBe(0)
  expect(source.watching).toBe(0)
}

describe.each(BALANCER_NAMES)('%s', (balancer) => {
  it.each([1, 2, 3])('keeps the rules, seed %i', (seed) => run(seed, balancer), 60_000)
})

describe('with other options', () => {
  it.each([11, 12])(
    'slow start, short drain, seed %i',
    (seed) => run(seed, 'weighted', { slowStartMs: 30_000, drainMs: 500 }),
    60_000,
  )
  it.each([21, 22])('no ejection, seed %i', (seed) => run(seed, 'p2c-ewma', { ejection: false }), 60_000)
})

describe('10,000 updates', () => {
  it('leave nothing behind: no timer, no watch, no memory of ids that never come again', async () => {
    const clock = fakeClock()
    const source = toldSource()
    const random = seededRandom(5)
    const discovery = createDiscovery({ source, clock, random, debounceMs: 0, massLoss: false, slowStartMs: 10_000 })
    const resolver = discovery.resolver('stock')
    let told = 0
    resolver.onRemoved?.(() => void told++)
    resolver.untried(new Set())
    let most = 0
    const leases: Lease[] = []
    let made = 0
    const alive: string[] = []
    let gone = 0
    for (let n = 0; n < 10_000; n++) {
      alive.push(`pod-${made++}`)
      if (alive.length > 10) {
        alive.shift()
        gone++
      }
      source.list(...alive)
      leases.push(resolver.acquire() as Lease)
      if (leases.length > 20) leases.shift()?.report({ kind: random() < 0.3 ? 'failure' : 'success', latencyMs: 5 })
      most = Math.max(most, clock.pending)
      if (n % 50 === 0) await clock.advance(1_000)
    }
    expect(most).toBeLessThanOrEqual(1)
    for (const each of leases) each.report({ kind: 'success', latencyMs: 5 })
    expect(told).toBe(gone)
    await discovery.close()
    expect(told).toBe(made)
    expect(clock.pending).toBe(0)
    expect(source.watching).toBe(0)
  }, 60_000)
})
