// Leaving: gone at once, for good, and with nothing left behind.
import { demand } from '../../assert.ts'
import { counted, fault } from '../../source-suite/case.ts'
import { forgets, type RegistrarCase, registrarCase } from '../case.ts'
import type { RegistrarDesk } from '../desk.ts'

const END_MS = 5_000

interface Left {
  readonly open: number
  readonly timers: number
}

async function left({ lab }: RegistrarDesk): Promise<Left> {
  return { open: (await lab.openThings?.()) ?? 0, timers: lab.timers?.() ?? 0 }
}

// Long enough for whatever would bring it back.
async function staysGone(desk: RegistrarDesk, service: string): Promise<void> {
  for (let interval = 0; interval < 2; interval++) {
    await desk.pass(desk.traits.noticesWithinMs)
    await desk.reads('nobody still', service, [])
  }
}

export const leavingCases: readonly RegistrarCase[] = [
  registrarCase(
    'is gone once it is deregistered, and stays gone',
    async (desk) => {
      const service = desk.service()
      const registration = await desk.register(service, desk.endpoint(service))
      await desk.done('deregister', END_MS, registration.deregister())
      await desk.reads('nobody', service, [])
      await staysGone(desk, service)
    },
    [],
    120_000,
  ),

  registrarCase('leaves others where they are', async (desk) => {
    const service = desk.service()
    const [one, two] = [desk.endpoint(service, 0), desk.endpoint(service, 1)]
    const registration = await desk.register(service, one)
    await desk.register(service, two)
    await desk.done('deregister', END_MS, registration.deregister())
    await desk.reads('the other one', service, [two])
  }),

  registrarCase('leaves once, however often it is asked to', async (desk) => {
    const service = desk.service()
    const endpoint = desk.endpoint(service)
    const registration = await desk.register(service, endpoint)
    await desk.done('three ends at once', END_MS, Promise.all([1, 2, 3].map(() => registration.deregister())))
    // A new process under the same id is not taken away by the old one.
    await desk.register(service, endpoint, {}, desk.registrar())
    await desk.done('one end more', END_MS, registration.deregister())
    await desk.reads('the new one', service, [endpoint])
  }),

  registrarCase('does not come back by a change of state after the end', async (desk) => {
    const service = desk.service()
    const registration = await desk.register(service, desk.endpoint(service))
    await desk.done('deregister', END_MS, registration.deregister())
    await registration.setState('ready').catch(() => {})
    await desk.quiet()
    await desk.reads('nobody', service, [])
  }),

  registrarCase(
    'leaves no timer and no socket',
    async (desk) => {
      const before = await left(desk)
      const service = desk.service()
      const registration = await desk.register(service, desk.endpoint(service), { health: () => true })
      await registration.setState('draining')
      await desk.pass(desk.traits.noticesWithinMs)
      await desk.done('deregister', END_MS, registration.deregister())
      let now = before
      await desk.until(
        'nothing is left open after the end',
        END_MS,
        async () => {
          now = await left(desk)
          return now.open <= before.open && now.timers <= before.timers
        },
        () => `before ${before.open} things and ${before.timers} timers, now ${now.open} and ${now.timers}`,
      )
    },
    [counted],
    60_000,
  ),

  registrarCase(
    'does not come back when it leaves in the middle of registering again',
    async (desk) => {
      const service = desk.service()
      const endpoint = desk.endpoint(service)
      const registration = await desk.register(service, endpoint)
      await desk.lab.expire?.(service, endpoint.id)
      const mend = await desk.lab.faults?.slow?.(400)
      try {
        // The sign of life is answered by now, and what follows is not.
        await desk.pass(desk.traits.noticesWithinMs + 500)
        await desk.done('deregister', desk.traits.givesUpWithinMs ?? 30_000, registration.deregister())
      } finally {
        await mend?.()
      }
      await desk.pass(1_000)
      await desk.reads('nobody', service, [])
      await staysGone(desk, service)
    },
    [forgets, fault('slow')],
    120_000,
  ),

  registrarCase('leaves in the middle of a health check', async (desk) => {
    const service = desk.service()
    let asked = 0
    const registration = await desk.register(service, desk.endpoint(service), {
      health: () => (asked++ === 0 ? true : new Promise<boolean>(() => {})),
    })
    await desk.until('a health check', 2 * desk.traits.noticesWithinMs, () => asked > 1)
    const from = desk.clock.now()
    await desk.done('deregister', END_MS + desk.traits.noticesWithinMs, registration.deregister())
    await desk.reads('nobody', service, [])
    demand(desk.clock.now() - from <= END_MS + 2 * desk.traits.noticesWithinMs, 'it waited for a health check')
  }),
]
