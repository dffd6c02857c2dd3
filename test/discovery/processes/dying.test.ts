// Instances that die, hang or lie, as real processes under load: what it costs each client, counted on both sides.
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Balancer, EndpointView } from '../../../src/core/contracts/balancer.ts'
import type { Source } from '../../../src/core/contracts/source.ts'
import { staticSource } from '../../../src/discovery/index.ts'
import { createFleet, type Fleet, type Instance } from './fleet.ts'
import { type Answer, type Attempt, type Client, createClient, startLoad, until } from './load.ts'

let fleet: Fleet
beforeEach(() => {
  fleet = createFleet()
})
afterEach(() => fleet.end())

const known = (): Source => staticSource({ parcels: fleet.instances.map(({ endpoint }) => endpoint) })
const isBad = ({ outcome }: Attempt): boolean => outcome === 'failure' || outcome === 'not-sent'

// What a client was told has really been done, by whom it says.
function expectTrue(clients: readonly Client[]): void {
  const did = new Map(fleet.instances.map((each) => [each.id, new Set(each.did())]))
  for (const { answers } of clients)
    for (const [call, { by }] of answers) expect(did.get(by)?.has(call), `${call} by ${by}`).toBe(true)
}

it('kill -9 of one of five: at most 5 failed attempts a client beyond those in flight, and no call fails', async () => {
  const [victim] = (await fleet.startMany(5)) as [Instance]
  const load = startLoad(3, { source: known() })
  await load.more(60)
  await until(() => load.clients.every((client) => client.servedBy(victim.id)))

  victim.signal('SIGKILL')
  const before = load.clients.map(({ attempts }) => attempts.length)
  await victim.ended
  // Long enough for it to be tried again now and then.
  await load.more(400)
  await load.stop()

  for (const [index, { attempts, failures }] of load.clients.entries()) {
    const after = attempts.slice(before[index]).filter(({ endpoint }) => endpoint === victim.id)
    expect(after.filter(isBad).length).toBeLessThanOrEqual(5)
    expect(failures).toEqual([])
  }
  expect(load.clients.flatMap(({ attempts }) => attempts.filter(isBad)).length).toBeGreaterThan(0)
  expectTrue(load.clients)
}, 60_000)

it('SIGSTOP of one of five, the quickest: it is left long before a call to it times out, and no call fails', async () => {
  // Whoever is quick is called most, and looks quick still when it hangs: only the age of what waits there tells.
  const [victim] = (await Promise.all([fleet.start({ workMs: 5 }), fleet.startMany(4, { workMs: 80 })])).flat() as [
    Instance,
  ]
  const policies = { attemptTimeoutMs: 3_000 }
  const load = startLoad(2, { source: known(), policies }, 10)
  // Who goes by turns shows what there is to win.
  const byTurns = startLoad(1, { source: known(), policies, discovery: { balancer: 'round-robin' } }, 10)
  await Promise.all([load.more(100), byTurns.more(100)])

  victim.signal('SIGSTOP')
  await Promise.all([load.more(40), byTurns.more(40)])
  const sent = await Promise.all([...load.clients, ...byTurns.clients].map(untilTimeout))
  await load.more(100)
  victim.signal('SIGCONT')
  await Promise.all([load.stop(), byTurns.stop()])

  const [one = 0, other = 0, turns = 0] = sent
  expect(Math.max(one, other)).toBeLessThanOrEqual(2)
  expect(turns).toBeGreaterThan(3 * Math.max(one, other))
  for (const { failures } of load.clients) expect(failures).toEqual([])
  expectTrue(load.clients)

  // From now until the first of its calls times out: how many are sent to the one that hangs.
  async function untilTimeout({ attempts }: Client): Promise<number> {
    const before = attempts.length
    await until(() => attempts.some((each) => each.endpoint === victim.id && isBad(each)))
    return attempts.slice(before).filter(({ endpoint }) => endpoint === victim.id).length
  }
}, 60_000)

it('hedge: what hangs at one instance is answered by another, without a retry', async () => {
  const [victim] = (await fleet.startMany(3)) as [Instance]
  const client = createClient({
    source: known(),
    // The worst there could be: whoever hangs is always asked first.
    discovery: { balancer: () => firstOf(victim.id) },
    policies: { retry: false, hedge: { delayMs: 200 } },
  })
  for (let n = 0; n < 3; n++) await client.call()
  victim.signal('SIGSTOP')
  const before = client.attempts.length
  for (let n = 0; n < 9; n++) await client.call()
  const after = client.attempts.slice(before)
  victim.signal('SIGCONT')
  await client.close()

  expect(client.failures).toEqual([])
  expect(client.answers.size).toBe(12)
  expect(after.filter(({ endpoint }) => endpoint === victim.id).map(({ outcome }) => outcome)).toEqual(
    Array.from({ length: 9 }, () => 'cancelled'),
  )
  expect(after.filter(({ endpoint }) => endpoint !== victim.id).map(({ outcome }) => outcome)).toEqual(
    Array.from({ length: 9 }, () => 'success'),
  )
  expectTrue([client])
}, 60_000)

function firstOf(id: string): Balancer {
  let view: readonly EndpointView[] = []
  return {
    update(given) {
      view = [...given].sort((a, b) => Number(b.endpoint.id === id) - Number(a.endpoint.id === id))
    },
    pick: ({ avoid }) => view.find(({ endpoint }) => !avoid?.has(endpoint.id)),
  }
}

it('quorum: two equal answers of three outvote the one that is wrong, and do without the one that hangs', async () => {
  const [liar] = (await Promise.all([fleet.start({ colour: 'red' }), fleet.startMany(2)])).flat() as [Instance]
  const client = createClient({
    source: known(),
    policies: { quorum: { of: 3, vote: ({ colour }: Answer) => colour } },
  })
  for (let n = 0; n < 10; n++) await client.call()
  const lied = liar.did().length
  liar.signal('SIGSTOP')
  for (let n = 0; n < 10; n++) await client.call()
  liar.signal('SIGCONT')
  await client.close()

  expect(client.failures).toEqual([])
  expect(lied).toBeGreaterThan(0)
  expect([...client.answers.values()].map(({ colour }) => colour)).toEqual(Array.from({ length: 20 }, () => 'blue'))
  for (const honest of fleet.instances.filter(({ id }) => id !== liar.id))
    expect(new Set(honest.got())).toEqual(new Set(client.answers.keys()))
}, 60_000)
