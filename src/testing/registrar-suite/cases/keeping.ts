// Staying announced: signs of life, health, leases that are lost, and another process under the same id.
import type { Endpoint } from '../../../core/contracts/source.ts'
import { demand } from '../../assert.ts'
import { beaten, forgets, leases, type RegistrarCase, registrarCase, tellsTaken } from '../case.ts'
import type { RegistrarDesk } from '../desk.ts'

const ttl = (desk: RegistrarDesk): number => desk.traits.ttlMs ?? 0

// Two checks, so that a slow one is no reason.
const healthMs = (desk: RegistrarDesk): number => 2 * desk.noticeMs

async function unhealthy(desk: RegistrarDesk, sick: () => boolean | Promise<boolean>): Promise<void> {
  const service = desk.service()
  const endpoint = desk.endpoint(service)
  let well = true
  await desk.register(service, endpoint, { health: () => (well ? true : sick()) })
  await desk.reads('it, ready', service, [endpoint])
  well = false
  await desk.readsNoneReady('nobody ready', service, healthMs(desk))
  well = true
  await desk.reads('it, ready again', service, [endpoint], healthMs(desk))
}

export const keepingCases: readonly RegistrarCase[] = [
  registrarCase(
    'keeps the entry alive beyond its lease',
    async (desk) => {
      const service = desk.service()
      const endpoint = desk.endpoint(service)
      await desk.register(service, endpoint)
      for (let quarter = 0; quarter < 12; quarter++) {
        await desk.pass(ttl(desk) / 4)
        await desk.reads(`it after ${quarter + 1} quarters of its lease`, service, [endpoint])
      }
    },
    [leases],
    180_000,
  ),

  registrarCase(
    'gives signs of life a little apart from the beat of others',
    async (desk) => {
      const service = desk.service()
      const endpoint = desk.endpoint(service)
      await desk.register(service, endpoint)
      const beats = (): readonly number[] => desk.lab.beats?.(service, endpoint.id) ?? []
      const from = desk.clock.now()
      // On real time the machine may stand still meanwhile, and what happens on it then is late by as much: by the longest stretch, as it is looked at all the time.
      let looked = from
      let stoodMs = 0
      await desk.until('six signs of life', 8 * desk.traits.noticesWithinMs, () => {
        const now = desk.clock.now()
        if (desk.lab.pass === undefined) stoodMs = Math.max(stoodMs, now - looked - 50)
        looked = now
        return beats().length >= 6
      })
      const gaps = [from, ...beats()].map((at, index, all) => at - (all[index - 1] ?? at)).slice(1)
      const shown = gaps.map((gap) => Math.round(gap)).join(', ')
      demand(Math.max(...gaps) <= desk.traits.noticesWithinMs + stoodMs, `a sign of life came late: ${shown} ms`)
      demand(new Set(gaps.map((gap) => gap.toFixed(3))).size > 1, `signs of life have no jitter: ${shown} ms`)
      demand(Math.min(...gaps) >= (Math.max(...gaps) - stoodMs) / 3, `signs of life come in a hurry: ${shown} ms`)
    },
    [beaten],
    120_000,
  ),

  registrarCase('is not ready while its health check says no, and ready again after', (desk) =>
    unhealthy(desk, () => false),
  ),

  registrarCase('takes a health check that throws for a no', (desk) =>
    unhealthy(desk, () => Promise.reject(new Error('sick'))),
  ),

  registrarCase('takes a health check that never answers for a no', (desk) =>
    unhealthy(desk, () => new Promise<boolean>(() => {})),
  ),

  registrarCase('is not ready from the start where its health check says no', async (desk) => {
    const service = desk.service()
    const endpoint = desk.endpoint(service)
    let well = false
    await desk.register(service, endpoint, { health: () => well })
    await desk.readsNoneReady('nobody ready', service, desk.seenMs)
    well = true
    await desk.reads('it, ready', service, [endpoint], healthMs(desk))
  }),

  registrarCase(
    'registers again by itself when the registry has forgotten it, with the state it had',
    async (desk) => {
      const service = desk.service()
      const endpoint = desk.endpoint(service, 0, { state: 'ready' })
      const registration = await desk.register(service, endpoint)
      await desk.lab.expire?.(service, endpoint.id)
      await desk.reads('it again', service, [endpoint], desk.noticeMs)
      const state = desk.holds('draining') ? ('draining' as const) : ('ready' as const)
      await registration.setState(state)
      await desk.lab.expire?.(service, endpoint.id)
      await desk.reads(`it again, ${state}`, service, [{ ...endpoint, state }], desk.noticeMs)
    },
    [forgets],
    120_000,
  ),

  registrarCase(
    'tells that another process has announced the same id, and does not fight over it',
    async (desk) => {
      const service = desk.service()
      const mine = desk.endpoint(service, 0)
      const theirs: Endpoint = { ...mine, addresses: desk.endpoint(service, 1).addresses }
      const first = await desk.register(service, mine)
      const told: unknown[] = []
      let unwanted = 0
      first.onLost(() => {
        throw new Error('a listener that throws')
      })
      first.onLost((reason) => told.push(reason))
      first.onLost(() => unwanted++)()
      await desk.register(service, theirs, {}, desk.registrar())
      await desk.until('onLost', desk.noticeMs + desk.traits.noticesWithinMs, () => told.length > 0)
      for (let interval = 0; interval < 3; interval++) {
        await desk.pass(desk.traits.noticesWithinMs)
        await desk.reads('that of the other process', service, [theirs])
      }
      demand(told.length === 1, `onLost was told ${told.length} times`)
      demand(unwanted === 0, 'onLost told one who had stopped listening')
      await desk.done('deregister', 5_000, first.deregister())
      await desk.reads('that of the other process still', service, [theirs])
      await desk.quiet()
      await desk.reads('that of the other process still', service, [theirs], 0)
    },
    [tellsTaken],
    180_000,
  ),
]
