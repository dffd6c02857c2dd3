// Ports for servers of a test's own.
import { createServer } from 'node:net'

const given = new Set<number>()
// Runs beside one another have ranges of their own: what is down for a while, or has not bound it yet, must find its port free.
const share = process.env['FAIRLEAD_PORTS']
const first = share === undefined ? 20_000 : Number(share)
const count = share === undefined ? 12_000 : 3_000

/** A port of 127.0.0.1 that nobody uses, and that was not given to anybody else here. */
export const freePort = async (): Promise<number> => {
  for (let tries = 0; tries < 50; tries++) {
    // Below the range that the system hands out by itself: the port must still be free after a restart.
    const port = first + Math.floor(Math.random() * count)
    if (given.has(port)) continue
    const free = await new Promise<boolean>((resolve) => {
      const probe = createServer().once('error', () => resolve(false))
      probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
    })
    if (!free) continue
    given.add(port)
    return port
  }
  throw new Error('found no free port')
}
