// The contract of sources against a real API server over a real etcd: killed, stuck, wiped, restored from a backup, cut off.
import { afterAll, describe, test } from 'vitest'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { type SourceLab, sourceCases, testSource } from '../../../src/testing/source-suite/index.ts'
import { type Cluster, startCluster } from './cluster.ts'

// One server for all cases: it takes seconds to start, and names of services never come twice.
let starting: Promise<Cluster> | undefined
let seed = 0
afterAll(async () => (await starting)?.close())

const makeLab = async (): Promise<SourceLab> => {
  starting ??= startCluster('shop')
  const { server, gate, book, source } = await starting
  let saved = book.copy()
  return {
    traits: {
      states: ['ready', 'draining', 'down'],
      zones: true,
      namedPorts: true,
      unknown: 'absent',
      emptied: 'empty',
      seesChangeWithinMs: 1_000,
      seesSilenceWithinMs: 12_000,
      recoversWithinMs: 30_000,
      refreshes: false,
    },
    source: () => source({ idleMs: 3_000, timeoutMs: 5_000, random: seededRandom(++seed) }),
    announce: (service, endpoints) => book.announce(service, endpoints),
    openThings: () => gate.open,
    faults: {
      starts: ['kept', 'empty', 'saved'],
      async kill() {
        await server.kill()
        return async (as) => {
          if (as === 'empty') {
            await server.wipe()
            book.restore()
          }
          if (as === 'saved') {
            await server.restore()
            book.restore(saved)
          }
          await server.start()
        }
      },
      async save() {
        await server.save()
        saved = book.copy()
      },
      async pause() {
        server.pause()
        return async () => server.resume()
      },
      async freeze() {
        const mend = gate.freeze()
        return async () => mend()
      },
      async cut() {
        gate.cut()
      },
      async slow(ms) {
        gate.slowMs = ms
        return async () => {
          gate.slowMs = 0
        }
      },
    },
  }
}

// The one about pauses takes long, and knows the server only as dead: the fake one does for it.
const only = sourceCases.map(({ name }) => name).filter((name) => !name.includes('pauses that grow'))

await testSource('kubernetes', makeLab, { describe, test, only })
