// A registry that is dead, stuck or empty: said at the start, overcome later, and never in the way of the end.
import { isFairleadError } from '../../../errors/index.ts'
import { demand } from '../../assert.ts'
import { fault, startsAs } from '../../source-suite/case.ts'
import type { RegistryStart } from '../../source-suite/types.ts'
import { leases, type RegistrarCase, registrarCase } from '../case.ts'
import type { RegistrarDesk } from '../desk.ts'

const anyStart = (desk: RegistrarDesk): RegistryStart => (desk.lab.faults?.starts ?? ['kept'])[0] ?? 'kept'

async function killed(desk: RegistrarDesk): Promise<(as?: RegistryStart) => Promise<void>> {
  const start = await desk.lab.faults?.kill?.()
  let started = false
  const once = async (as: RegistryStart = anyStart(desk)): Promise<void> => {
    if (started) return
    started = true
    await start?.(as)
  }
  desk.onEnd(() => once())
  return once
}

const giveUpMs = (desk: RegistrarDesk): number => desk.traits.givesUpWithinMs ?? 30_000

// Signs of life that failed are tried again sooner; two rounds, and what a call to a dead registry takes.
const recoveryMs = (desk: RegistrarDesk): number => 2 * desk.noticeMs + giveUpMs(desk)

export const troubleCases: readonly RegistrarCase[] = [
  registrarCase(
    'rejects with a code when the registry is dead, leaves nothing, and may be tried again',
    async (desk) => {
      const before = { open: (await desk.lab.openThings?.()) ?? 0, timers: desk.lab.timers?.() ?? 0 }
      const service = desk.service()
      const endpoint = desk.endpoint(service)
      const registrar = desk.registrar()
      const start = await killed(desk)
      const answer = await desk.done(
        'a rejection',
        giveUpMs(desk),
        registrar.register(service, endpoint).then(
          () => undefined,
          (error: unknown) => error,
        ),
      )
      demand(answer !== undefined, 'it was registered at a registry that is dead')
      demand(isFairleadError(answer), `rejected without a code: ${String(answer)}`)
      await desk.until('nothing left open after the rejection', 5_000, async () => {
        const open = (await desk.lab.openThings?.()) ?? 0
        return open <= before.open && (desk.lab.timers?.() ?? 0) <= before.timers
      })
      await start()
      await desk.register(service, endpoint, {}, registrar)
      await desk.reads('it', service, [endpoint])
    },
    [fault('kill')],
    120_000,
  ),

  registrarCase(
    'rejects with a code when the registry is stuck',
    async (desk) => {
      const service = desk.service()
      const registrar = desk.registrar()
      const resume = await desk.lab.faults?.pause?.()
      try {
        const registering = registrar.register(service, desk.endpoint(service)).then(
          async (registration) => registration.deregister(),
          (error: unknown) => error,
        )
        const answer = await desk.done('a rejection', giveUpMs(desk), registering)
        demand(isFairleadError(answer), `not rejected with a code: ${String(answer)}`)
      } finally {
        await resume?.()
      }
    },
    [fault('pause')],
    120_000,
  ),

  registrarCase(
    'goes on when the registry was dead for a while',
    async (desk) => {
      const service = desk.service()
      const endpoint = desk.endpoint(service)
      await desk.register(service, endpoint)
      const start = await killed(desk)
      await desk.pass(Math.max(desk.traits.noticesWithinMs, 1_500))
      await start('kept')
      await desk.reads('it again', service, [endpoint], recoveryMs(desk))
      await desk.pass((desk.traits.ttlMs ?? desk.traits.noticesWithinMs) * 2)
      await desk.reads('it still, after two leases', service, [endpoint])
    },
    [startsAs('kept')],
    180_000,
  ),

  registrarCase(
    'registers again when the registry is back and empty',
    async (desk) => {
      const service = desk.service()
      const endpoint = desk.endpoint(service)
      await desk.register(service, endpoint)
      const start = await killed(desk)
      await start('empty')
      await desk.reads('it again', service, [endpoint], recoveryMs(desk))
    },
    [startsAs('empty')],
    180_000,
  ),

  registrarCase(
    'makes up for a state that could not be told',
    async (desk) => {
      const service = desk.service()
      const endpoint = desk.endpoint(service)
      const registration = await desk.register(service, endpoint)
      const start = await killed(desk)
      const state = desk.holds('draining') ? ('draining' as const) : ('down' as const)
      // It may reject, with a code, or wait.
      let refused: unknown
      const change = registration.setState(state).catch((error: unknown) => {
        refused = error
      })
      await desk.pass(500)
      await start()
      await desk.done('setState', recoveryMs(desk), change)
      demand(refused === undefined || isFairleadError(refused), `rejected without a code: ${String(refused)}`)
      if (desk.holds(state)) await desk.reads(`it, ${state}`, service, [{ ...endpoint, state }], recoveryMs(desk))
      else await desk.readsNoneReady('nobody ready', service, recoveryMs(desk))
    },
    [fault('kill')],
    180_000,
  ),

  registrarCase(
    'goes on when the registry was stuck',
    async (desk) => {
      const service = desk.service()
      const endpoint = desk.endpoint(service)
      await desk.register(service, endpoint)
      const resume = await desk.lab.faults?.pause?.()
      try {
        await desk.pass(Math.max(desk.traits.noticesWithinMs, 1_500))
      } finally {
        await resume?.()
      }
      await desk.reads('it', service, [endpoint], recoveryMs(desk))
      await desk.pass((desk.traits.ttlMs ?? desk.traits.noticesWithinMs) * 2)
      await desk.reads('it still, after two leases', service, [endpoint])
    },
    [fault('pause')],
    180_000,
  ),

  registrarCase(
    'leaves in bounded time when the registry is dead',
    async (desk) => {
      const service = desk.service()
      const registration = await desk.register(service, desk.endpoint(service))
      await killed(desk)
      await desk.done('deregister', giveUpMs(desk), registration.deregister())
    },
    [fault('kill')],
    120_000,
  ),

  registrarCase(
    'leaves in bounded time when the registry is stuck',
    async (desk) => {
      const service = desk.service()
      const registration = await desk.register(service, desk.endpoint(service))
      const resume = await desk.lab.faults?.pause?.()
      try {
        await desk.done('deregister', giveUpMs(desk), registration.deregister())
      } finally {
        await resume?.()
      }
    },
    [fault('pause')],
    120_000,
  ),

  registrarCase(
    'is gone by itself when its process has died',
    async (desk) => {
      const service = desk.service()
      const { registrar, clock } = desk.mortal()
      const endpoint = desk.endpoint(service)
      const options = desk.traits.ttlMs === undefined ? {} : { ttlMs: desk.traits.ttlMs }
      await registrar.register(service, endpoint, options)
      await desk.reads('it', service, [endpoint])
      clock.stop()
      const lease = (desk.traits.ttlMs ?? 0) + (desk.traits.expiresLateByMs ?? 0)
      await desk.readsNoneReady('nobody ready', service, lease + desk.seenMs)
    },
    [leases],
    180_000,
  ),
]
