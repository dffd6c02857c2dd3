// The suites of sources and registrars over real files, on a clock that is moved by hand.
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'vitest'
import { fileRegistrar, fileSource } from '../../../src/adapters/file/index.ts'
import type { Endpoint } from '../../../src/core/contracts/source.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'
import { type RegistrarLab, testRegistrar } from '../../../src/testing/registrar-suite/index.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { type SourceLab, testSource } from '../../../src/testing/source-suite/index.ts'

const TRAITS = {
  states: ['starting', 'ready', 'draining', 'down'],
  weights: true,
  priorities: true,
  zones: true,
  metadata: true,
  namedPorts: true,
} as const

// Real time for the disk after each step of the other.
async function pass(clock: FakeClock, ms: number): Promise<void> {
  for (let left = ms; ; left -= 50) {
    await clock.advance(Math.max(Math.min(left, 50), 0))
    await new Promise((resolve) => setTimeout(resolve, 4))
    if (left <= 50) return
  }
}

const watchers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'FSEventWrap').length

async function sourceLab(format: 'fairlead' | 'prometheus'): Promise<SourceLab> {
  const dir = await mkdtemp(join(tmpdir(), 'fairlead-suite-'))
  const path = join(dir, 'services.json')
  const clock = fakeClock()
  let services = new Map<string, readonly unknown[]>()
  let saved = services
  let mode: 'good' | 'garbled' | 'dead' = 'good'
  let seed = 1
  const written = (): string => {
    if (format === 'fairlead') return JSON.stringify({ services: Object.fromEntries(services) })
    return JSON.stringify(
      [...services].map(([job, entries]) => ({
        targets: (entries as Endpoint[]).map(({ addresses: [at] }) => `${at?.host}:${at?.port}`),
        labels: { job },
      })),
    )
  }
  const flush = async (): Promise<void> => {
    if (mode === 'dead') return rm(path, { force: true })
    const text = written()
    await writeFile(`${path}.new`, mode === 'good' ? text : text.slice(0, -3))
    await rename(`${path}.new`, path)
  }
  const become = async (next: typeof mode): Promise<void> => {
    mode = next
    await flush()
  }
  await flush()
  return {
    traits: {
      ...(format === 'fairlead' ? TRAITS : { ids: 'address' }),
      unknown: 'absent',
      emptied: 'empty',
      seesChangeWithinMs: 1_200,
      recoversWithinMs: 5_000,
    },
    clock,
    pass: (ms) => pass(clock, ms),
    timers: () => clock.pending,
    openThings: watchers,
    source: () => fileSource({ path, clock, random: seededRandom(seed++) }),
    async announce(service, endpoints) {
      services = new Map([...services, [service, endpoints]])
      await flush()
    },
    async spoil(service) {
      const none = { id: 'none', addresses: [{ host: 'none', port: 0 }] }
      services = new Map([...services, [service, [...(services.get(service) ?? []), none]]])
      await flush()
    },
    faults: {
      starts: ['kept', 'empty', 'saved'],
      async kill() {
        await become('dead')
        return async (as) => {
          if (as === 'empty') services = new Map()
          if (as === 'saved') services = saved
          await become('good')
        }
      },
      async save() {
        saved = services
      },
      async garble() {
        await become('garbled')
        return () => become('good')
      },
    },
    close: () => rm(dir, { recursive: true, force: true }),
  }
}

async function registrarLab(): Promise<RegistrarLab> {
  const dir = await mkdtemp(join(tmpdir(), 'fairlead-suite-'))
  const home = join(dir, 'shared')
  await mkdir(home)
  const path = join(home, 'services.json')
  const clock = fakeClock()
  const ttlMs = 3_000
  let seed = 1
  let saved = '{"services":{}}'
  // By a source, as any client would.
  const read = async (service: string): Promise<readonly Endpoint[]> => {
    const eye = fakeClock({ wall: clock.wallNow() })
    let told: readonly Endpoint[] | undefined
    const watch = fileSource({ path, clock: eye, random: seededRandom(seed++) }).watch(service, (update) => {
      told = update.type === 'snapshot' ? update.endpoints : []
    })
    while (told === undefined) await new Promise((resolve) => setTimeout(resolve, 1))
    await watch.close()
    return told
  }
  return {
    traits: { ...TRAITS, ttlMs, noticesWithinMs: ttlMs / 3, givesUpWithinMs: 10_500 },
    clock,
    pass: (ms) => pass(clock, ms),
    timers: () => clock.pending,
    openThings: watchers,
    registrar: (own = clock) => fileRegistrar({ path, ttlMs, clock: own, random: seededRandom(seed++) }),
    read,
    async expire(service, id) {
      const document = JSON.parse(await readFile(path, 'utf8'))
      document.services[service] = document.services[service].filter((each: Endpoint) => each.id !== id)
      await writeFile(`${path}.new`, JSON.stringify(document))
      await rename(`${path}.new`, path)
    },
    faults: {
      starts: ['kept', 'empty', 'saved'],
      async save() {
        saved = await readFile(path, 'utf8')
      },
      // The folder is gone, as a share that is not mounted.
      async kill() {
        await rename(home, `${home}.away`)
        return async (as) => {
          await rename(`${home}.away`, home)
          if (as === 'empty') await rm(path, { force: true })
          if (as === 'saved') await writeFile(path, saved)
        }
      },
    },
    close: () => rm(dir, { recursive: true, force: true }),
  }
}

await testSource('file', () => sourceLab('fairlead'), { describe, test })
await testSource('file_sd', () => sourceLab('prometheus'), { describe, test })
await testRegistrar('file', registrarLab, { describe, test })
