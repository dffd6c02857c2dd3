// What is announced is what others read: at once, whole, and in each of its states.
import type { Endpoint } from '../../../core/contracts/source.ts'
import { demand } from '../../assert.ts'
import { expresses, holds } from '../../source-suite/case.ts'
import { type RegistrarCase, registrarCase } from '../case.ts'
import type { RegistrarDesk } from '../desk.ts'

async function carried(desk: RegistrarDesk, more: Partial<Endpoint>): Promise<void> {
  const service = desk.service('carry')
  const endpoint = desk.endpoint(service, 0, more)
  await desk.register(service, endpoint)
  await desk.reads('everything as it was announced', service, [endpoint])
}

const STATES = ['starting', 'ready', 'draining', 'down'] as const

export const announcingCases: readonly RegistrarCase[] = [
  registrarCase('is read by others once it is registered', async (desk) => {
    const service = desk.service()
    const endpoint = desk.endpoint(service)
    const registration = await desk.register(service, endpoint)
    await desk.reads('the endpoint', service, [endpoint])
    demand(registration.endpoint.id === endpoint.id, `the registration is of ${registration.endpoint.id}`)
  }),

  registrarCase('announces several endpoints of several services', async (desk) => {
    const [one, two] = [desk.service('one'), desk.service('two')]
    const ofOne = [desk.endpoint(one, 0), desk.endpoint(one, 1)]
    const ofTwo = [desk.endpoint(two, 2)]
    for (const endpoint of ofOne) await desk.register(one, endpoint)
    for (const endpoint of ofTwo) await desk.register(two, endpoint, {}, desk.registrar())
    await desk.reads('both of the first', one, ofOne)
    await desk.reads('the one of the second', two, ofTwo)
  }),

  registrarCase(
    'announces the state that it is given',
    async (desk) => {
      for (const state of STATES.filter((each) => desk.holds(each))) await carried(desk, { state })
    },
    [holds(...STATES)],
  ),

  registrarCase('is ready for nobody before it says so', async (desk) => {
    const service = desk.service()
    const endpoint = desk.endpoint(service, 0, { state: 'starting' })
    const registration = await desk.register(service, endpoint)
    await desk.readsNoneReady('nobody ready', service, desk.seenMs)
    await registration.setState('ready')
    await desk.reads('it, ready', service, [{ ...endpoint, state: 'ready' }])
  }),

  registrarCase(
    'tells each change of state at once',
    async (desk) => {
      const service = desk.service()
      const endpoint = desk.endpoint(service)
      const registration = await desk.register(service, endpoint)
      const states = STATES.filter((each) => desk.holds(each))
      for (const state of [...states, ...[...states].reverse()]) {
        await registration.setState(state)
        await desk.reads(`it, ${state}`, service, [{ ...endpoint, state }])
      }
    },
    [holds('starting', 'draining', 'down')],
  ),

  registrarCase('is ready for nobody while it drains', async (desk) => {
    const service = desk.service()
    const registration = await desk.register(service, desk.endpoint(service))
    await registration.setState('draining')
    await desk.readsNoneReady('nobody ready', service, desk.seenMs)
  }),

  registrarCase('keeps the order of state changes', async (desk) => {
    const service = desk.service()
    const endpoint = desk.endpoint(service)
    const registration = await desk.register(service, endpoint)
    await desk.done(
      'all changes',
      desk.noticeMs + 10_000,
      Promise.all([
        registration.setState('starting'),
        registration.setState('draining'),
        registration.setState('ready'),
      ]),
    )
    await desk.reads('the last one', service, [{ ...endpoint, state: 'ready' }])
    await desk.quiet()
    await desk.reads('the last one still', service, [{ ...endpoint, state: 'ready' }], 0)
  }),

  registrarCase('carries weight', (desk) => carried(desk, { weight: 7 }), [expresses('weights')]),
  registrarCase('carries the zone', (desk) => carried(desk, { zone: 'eu-1b' }), [expresses('zones')]),
  registrarCase('carries priority', (desk) => carried(desk, { priority: 3 }), [expresses('priorities')]),
  registrarCase(
    'carries metadata',
    (desk) => carried(desk, { metadata: { version: '1.2.3', note: 'a b=c & "d" <e> é' } }),
    [expresses('metadata')],
  ),
  registrarCase('carries named ports', (desk) => carried(desk, { ports: { metrics: 9_090 } }), [
    expresses('namedPorts'),
  ]),
]
