// Who is there, who comes, who goes: told whole, in time, and as the registry says it.
import type { Endpoint } from '../../../core/contracts/source.ts'
import { demand } from '../../assert.ts'
import { expresses, givenIds, holds, ownPorts, type SourceCase, sourceCase } from '../case.ts'
import type { SourceDesk } from '../desk.ts'
import { lineOf } from '../entries.ts'

const first = (all: readonly Endpoint[]): Endpoint => all[0] as Endpoint

// Announces two, changes the first, and sees that.
async function changed(desk: SourceDesk, before: Partial<Endpoint>, after: Partial<Endpoint>): Promise<void> {
  const service = desk.service('change')
  const [one, two] = desk.endpoints(service, 2) as [Endpoint, Endpoint]
  await desk.announce(service, [{ ...one, ...before }, two])
  const watch = desk.watch(service)
  await watch.sees('what is there at first', [{ ...one, ...before }, two], desk.recoveryMs)
  await desk.announce(service, [{ ...one, ...after }, two])
  await watch.sees('the change', [{ ...one, ...after }, two])
}

// Announces endpoints that differ in one thing, and sees each as it is.
async function carried(desk: SourceDesk, differ: readonly Partial<Endpoint>[]): Promise<void> {
  const service = desk.service('carry')
  const all = desk.endpoints(service, differ.length).map((each, index) => ({ ...each, ...differ[index] }))
  await desk.announce(service, all)
  await desk.watch(service).sees('everything as it was announced', all, desk.recoveryMs)
}

export const tellingCases: readonly SourceCase[] = [
  sourceCase('tells who is there as soon as it knows', async (desk) => {
    const service = desk.service()
    const all = desk.endpoints(service, 3)
    await desk.announce(service, all)
    const watch = desk.watch(service)
    await desk.until('a first word', Math.min(desk.changeMs, 500), () => watch.heard.length > 0)
    await watch.sees('all three', all, 0)
    demand(watch.errors().length === 0, 'an error was told of a registry that works')
  }),

  sourceCase('tells an endpoint that appears, without being asked', async (desk) => {
    const service = desk.service()
    const all = desk.endpoints(service, 3)
    await desk.announce(service, all.slice(0, 1))
    const watch = desk.watch(service)
    await watch.sees('the one', all.slice(0, 1))
    await desk.announce(service, all.slice(0, 2))
    await watch.sees('the second', all.slice(0, 2))
    await desk.announce(service, all)
    await watch.sees('the third', all)
  }),

  sourceCase('tells an endpoint that vanishes, without being asked', async (desk) => {
    const service = desk.service()
    const all = desk.endpoints(service, 3)
    await desk.announce(service, all)
    const watch = desk.watch(service)
    await watch.sees('all three', all)
    await desk.announce(service, all.slice(1))
    await watch.sees('two that are left', all.slice(1))
  }),

  sourceCase('tells that the last one has gone', async (desk) => {
    const service = desk.service()
    const all = desk.endpoints(service, 2)
    await desk.announce(service, all)
    const watch = desk.watch(service)
    await watch.sees('both', all)
    await desk.announce(service, [])
    await watch.sees('nobody', [])
    const told = watch.last()?.type === 'absent' ? 'absent' : 'empty'
    demand(
      told === desk.traits.emptied,
      `a service whose last endpoint has gone is ${desk.traits.emptied}, told ${told}`,
    )
    await desk.announce(service, all)
    await watch.sees('both again', all)
  }),

  sourceCase('tells a service that nobody has announced as what it is, and not as an error', async (desk) => {
    const watch = desk.watch(desk.service('unknown'))
    await desk.until('a first word', desk.recoveryMs, () => watch.heard.length > 0)
    demand(watch.errors().length === 0, 'that nobody is there was told as an error')
    const told = watch.last()?.type === 'absent' ? 'absent' : 'empty'
    demand(watch.endpoints().length === 0, 'somebody was told to be there')
    demand(told === desk.traits.unknown, `a service that nobody has announced is ${desk.traits.unknown}, told ${told}`)
  }),

  sourceCase('tells a service that becomes known while it is watched', async (desk) => {
    const service = desk.service()
    const watch = desk.watch(service)
    await desk.until('a first word', desk.recoveryMs, () => watch.heard.length > 0)
    const all = desk.endpoints(service, 2)
    await desk.announce(service, all)
    await watch.sees('both', all)
  }),

  sourceCase('tells most of the endpoints gone at once, as it is', async (desk) => {
    const service = desk.service()
    const all = desk.endpoints(service, 20)
    await desk.announce(service, all)
    const watch = desk.watch(service)
    await watch.sees('all twenty', all)
    await desk.announce(service, all.slice(0, 1))
    await watch.sees('the one that is left', all.slice(0, 1))
  }),

  sourceCase('tells each endpoint by the same id in every snapshot and from every source', async (desk) => {
    const service = desk.service()
    const all = desk.endpoints(service, 4)
    await desk.announce(service, all)
    const one = desk.watch(service)
    await one.sees('all four', all)
    await desk.announce(service, all.slice(1))
    await one.sees('three', all.slice(1))
    await desk.announce(service, [...all].reverse())
    await one.sees('all four again', all)
    const other = desk.watch(service, desk.source())
    await other.sees('all four', all)
    const byAddress = new Map<string, string>()
    for (const watch of [one, other])
      for (const word of watch.words())
        for (const endpoint of word.type === 'snapshot' ? word.endpoints : []) {
          const address = `${endpoint.addresses[0]?.host}:${endpoint.addresses[0]?.port}`
          const before = byAddress.get(address) ?? endpoint.id
          demand(before === endpoint.id, `${address} was ${before} at first, and ${endpoint.id} later`)
          byAddress.set(address, endpoint.id)
        }
  }),

  sourceCase(
    'tells the ids that were announced',
    async (desk) => {
      const service = desk.service()
      const all = desk.endpoints(service, 3)
      await desk.announce(service, all)
      const watch = desk.watch(service)
      await watch.sees('all three', all)
      const told = watch
        .endpoints()
        .map(({ id }) => id)
        .sort()
        .join()
      demand(
        told ===
          all
            .map(({ id }) => id)
            .sort()
            .join(),
        `the ids are ${told}`,
      )
    },
    [givenIds],
  ),

  sourceCase(
    'tells a change of port, of the same endpoint',
    (desk) => {
      const { host, port } = first(desk.endpoints('any', 1)).addresses[0] as { host: string; port: number }
      return changed(desk, {}, { addresses: [{ host, port: port + 1 }] })
    },
    [ownPorts],
  ),

  sourceCase(
    'tells a change of host, of the same endpoint',
    (desk) => {
      const [, , other] = desk.endpoints('any', 3)
      return changed(desk, {}, { addresses: (other as Endpoint).addresses })
    },
    [givenIds],
  ),

  sourceCase(
    'tells a change of state, of the same endpoint',
    async (desk) => {
      const others = (desk.traits.states ?? []).filter((state) => state !== 'ready')
      for (const state of others) {
        await changed(desk, {}, { state })
        await changed(desk, { state }, { state: 'ready' })
      }
    },
    [holds('starting', 'draining', 'down')],
  ),

  sourceCase('tells a change of weight', (desk) => changed(desk, { weight: 2 }, { weight: 7 }), [expresses('weights')]),

  sourceCase(
    'tells a change of metadata',
    (desk) => changed(desk, { metadata: { version: '1', track: 'a' } }, { metadata: { version: '2', track: 'a' } }),
    [expresses('metadata')],
  ),

  sourceCase('tells weights as they are', (desk) => carried(desk, [{ weight: 1 }, { weight: 3 }, { weight: 10 }]), [
    expresses('weights'),
  ]),

  sourceCase(
    'tells priorities as they are',
    (desk) => carried(desk, [{ priority: 0 }, { priority: 1 }, { priority: 5 }]),
    [expresses('priorities')],
  ),

  sourceCase('tells zones as they are', (desk) => carried(desk, [{ zone: 'eu-1a' }, { zone: 'eu-1b' }]), [
    expresses('zones'),
  ]),

  sourceCase(
    'tells metadata as it is',
    (desk) =>
      carried(desk, [
        { metadata: { version: '1.2.3', track: 'stable' } },
        { metadata: { version: '2', note: 'a b=c & "d" <e> é' } },
      ]),
    [expresses('metadata')],
  ),

  sourceCase(
    'tells named ports as they are',
    (desk) => carried(desk, [{ ports: { metrics: 9_090 } }, { ports: { metrics: 9_091, admin: 9_092 } }]),
    [expresses('namedPorts')],
  ),

  sourceCase('keeps services apart', async (desk) => {
    const [one, two] = [desk.service('one'), desk.service('two')]
    const ofOne = desk.endpoints(one, 2)
    const ofTwo = desk.endpoints(two, 3, 10)
    await desk.announce(one, ofOne)
    await desk.announce(two, ofTwo)
    const source = desk.source()
    const [watchOne, watchTwo] = [desk.watch(one, source), desk.watch(two, source)]
    await watchOne.sees('those of the first', ofOne)
    await watchTwo.sees('those of the second', ofTwo)
    await desk.announce(two, ofTwo.slice(1))
    await watchTwo.sees('one less of the second', ofTwo.slice(1))
    await desk.quiet()
    await watchOne.sees('those of the first still', ofOne, 0)
    const strange = watchOne
      .words()
      .flatMap((word) => (word.type === 'snapshot' ? word.endpoints : []))
      .find(({ addresses }) => ofTwo.some((each) => each.addresses[0]?.host === addresses[0]?.host))
    demand(
      strange === undefined,
      `one of another service was told: ${strange === undefined ? '' : lineOf(strange, desk.looks)}`,
    )
  }),

  sourceCase('tells every watch of one service', async (desk) => {
    const service = desk.service()
    const all = desk.endpoints(service, 3)
    await desk.announce(service, all.slice(1))
    const source = desk.source()
    const watches = [desk.watch(service, source), desk.watch(service, source)]
    for (const watch of watches) await watch.sees('both', all.slice(1))
    const late = desk.watch(service, source)
    await late.sees('both, for one that comes later', all.slice(1))
    await desk.announce(service, all)
    for (const watch of [...watches, late]) await watch.sees('all three', all)
  }),

  sourceCase(
    'watches many services at once',
    async (desk) => {
      const services = Array.from({ length: 20 }, (_, index) => {
        const service = desk.service(`many${index}`)
        return { service, endpoints: desk.endpoints(service, 2, index * 2) }
      })
      for (const { service, endpoints } of services) await desk.announce(service, endpoints)
      const source = desk.source()
      const watches = services.map(({ service, endpoints }) => ({ watch: desk.watch(service, source), endpoints }))
      for (const { watch, endpoints } of watches) await watch.sees('its own two', endpoints, desk.recoveryMs)
    },
    [],
    60_000,
  ),

  sourceCase(
    'ends at the truth when endpoints come and go quickly',
    async (desk) => {
      const service = desk.service()
      const all = desk.endpoints(service, 6)
      await desk.announce(service, all)
      const watch = desk.watch(service)
      await watch.sees('all six', all)
      for (let round = 0; round < 30; round++) {
        await desk.announce(
          service,
          all.filter((_, index) => ((round * 7 + index * 3) & 3) !== 0),
        )
        if (round % 10 === 9) await desk.pass(1)
      }
      const end = all.slice(2, 5)
      await desk.announce(service, end)
      await watch.sees('what is there at the end', end)
      await desk.quiet()
      await watch.sees('it still', end, 0)
    },
    [],
    60_000,
  ),

  sourceCase(
    'tells thousands of endpoints, whole',
    async (desk) => {
      const service = desk.service('heavy')
      const all = desk.endpoints(service, desk.traits.maxEndpoints ?? 10_000)
      await desk.announce(service, all)
      const watch = desk.watch(service)
      await watch.sees('all of them', all, desk.recoveryMs)
      const odd = watch.words().find((word) => word.type !== 'snapshot' || word.endpoints.length !== all.length)
      demand(odd === undefined, 'a part was told as if it were the whole')
      await desk.announce(service, all.slice(1))
      await watch.sees('one less', all.slice(1), desk.recoveryMs)
    },
    [],
    120_000,
  ),
]
