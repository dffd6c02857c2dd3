// Services of the order example as processes of their own: started, killed, started again; and what has to be true in the end.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import type { Name } from '../../examples/create-order/carrier.ts'
import { type Lab, until } from './create-order-lab.ts'
import type { Death, Through } from './create-order-process.ts'

const ALL = ['orders', 'consumers', 'restaurants'] as const

/** Processes of one test. */
export function childrenOf(it: Lab, through?: Through) {
  const children: ChildProcess[] = []
  return {
    /** Starts a service, and has the others know where it is. */
    async start(name: Name, death?: Death): Promise<ChildProcess> {
      const program = fileURLToPath(new URL('create-order-process.ts', import.meta.url))
      const argument = JSON.stringify({ folder: it.folder, name, at: { ...it.at, [name]: undefined }, death, through })
      const child = spawn(process.execPath, ['--import', 'tsx', program, argument], {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      })
      children.push(child)
      const said = await Promise.race([once(child, 'message'), once(child, 'exit').then(() => undefined)])
      if (said === undefined) throw new Error(`${name} did not start`)
      it.at[name] = said[0] as string
      return child
    },
    /** Waits until it has killed itself; the others know that it is gone. */
    async dies(name: Name, child: ChildProcess): Promise<void> {
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      expect(child.signalCode).toBe('SIGKILL')
      delete it.at[name]
    },
    async end(): Promise<void> {
      for (const child of children.splice(0)) {
        const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined
        child.kill('SIGKILL')
        await ended
      }
    },
  }
}

/** The order comes to its end, and nothing of it was done twice. */
export async function validatedOnce(it: Lab, orderId: string): Promise<void> {
  await it.until(orderId, 'VALIDATED')
  // What was not acknowledged comes again: only then is there nothing more to come.
  for (const name of ALL)
    await until(
      `${name} have sent all`,
      async () => (await it.rows(name, 'select 1 from fairlead_outbox')).length === 0,
    )
  const history = await it.history(orderId)
  expect(history).toHaveLength(3)
  expect([history[0], history[2]]).toEqual(['PENDING', 'VALIDATED'])
  // No key keeps a second one out of these tables.
  expect([await it.held(), await it.setAside()]).toEqual([1, 1])
  expect(await it.rows('orders', 'select id from orders')).toEqual([[orderId]])
}
