// A registry that is dead while instances die and calls go on, and then comes back empty: real processes that announce themselves at a real agent.
import { afterEach, beforeEach, expect, it } from 'vitest'
import { consulSource } from '../../../src/adapters/consul/index.ts'
import type { PipelineEvent } from '../../../src/core/events.ts'
import { createFleet, type Fleet, type Instance } from '../../discovery/processes/fleet.ts'
import { startLoad, until } from '../../discovery/processes/load.ts'
import { type ConsulInstance, startConsul } from '../../services/consul-instance.ts'
import { consulHand } from './labs.ts'

let agent: ConsulInstance
let fleet: Fleet
beforeEach(async () => {
  agent = await startConsul()
  fleet = createFleet()
})
afterEach(async () => {
  await fleet.end()
  await agent.remove()
})

it('scale-up is seen; the registry dead for the rest of the run, an instance killed meanwhile, and back empty: no call fails', async () => {
  // Four that somebody else has written down, so that they stay forgotten; the fifth announces itself.
  const hand = consulHand(agent.url)
  const [victim, ...others] = (await fleet.startMany(4)) as [Instance, ...Instance[]]
  const written = [victim, ...others].map(({ endpoint }) => endpoint)
  await hand.announce('parcels', written)
  const load = startLoad(3, {
    source: consulSource({ url: agent.url, timeoutMs: 2_000 }),
    // A registry on the network may not name this machine unless it is told to.
    discovery: { allow: ['127.0.0.0/8'] },
  })
  await load.more(30)
  const fifth = await fleet.start({ consul: agent.url, ttlMs: 3_000 })
  await until(() => load.clients.every((client) => client.servedBy(fifth.id)))

  await agent.kill()
  await load.more(60)
  victim.signal('SIGKILL')
  await load.more(150)
  await untilAll('source-failed')

  await agent.start('empty')
  for (const { discovery } of load.clients) discovery.resolver('parcels').refresh()
  await untilAll('mass-loss', 'held')
  const held = load.clients.map(({ attempts }) => attempts.length)
  await load.more(60)
  expect(load.clients.every((client, index) => others.every(({ id }) => client.servedBy(id, held[index])))).toBe(true)
  await hand.announce('parcels', written.slice(1))
  await untilAll('mass-loss', 'returned')
  await load.more(30)
  await load.stop()

  for (const { attempts, failures } of load.clients) {
    expect(failures).toEqual([])
    expect(attempts.some(({ outcome }) => outcome === 'not-sent' || outcome === 'failure')).toBe(true)
  }
  const did = new Map(fleet.instances.map((each) => [each.id, new Set(each.did())]))
  for (const { answers } of load.clients)
    for (const [call, { by }] of answers) expect(did.get(by)?.has(call)).toBe(true)

  function untilAll(type: PipelineEvent['type'], step?: string): Promise<void> {
    return until(() =>
      load.clients.every(({ events }) =>
        events.some((event) => event.type === type && (step === undefined || ('step' in event && event.step === step))),
      ),
    )
  }
}, 60_000)
