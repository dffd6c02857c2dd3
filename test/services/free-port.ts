// Ports for servers of a test's own.
import { createServer } from 'node:net'

const given = new Set<number>()

/** A port of 127.0.0.1 that nobody uses, and that was not given to anybody else here. */
export const freePort = async (): Promise<number> => {
  for (let tries = 0; tries < 50; tries++) {
    // Below the range that the system hands out by itself: the port must still be free after a restart.
    const port = 20_000 + Math.floor(Math.random() * 12_000)
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
