// A watch over a scripted API server on a real socket, with time in the hand of the test: what the tests of watching share.
import { setTimeout as sleepReally } from 'node:timers/promises'
import { afterEach, beforeEach } from 'vitest'
import { kubernetesSource } from '../../../../src/adapters/kubernetes/index.ts'
import type { KubernetesSourceOptions } from '../../../../src/adapters/kubernetes/options.ts'
import type { SourceUpdate, SourceWatch } from '../../../../src/core/contracts/source.ts'
import { type FakeClock, fakeClock } from '../../../../src/testing/fake-clock.ts'
import { seededRandom } from '../../../../src/testing/seeded-random.ts'
import { FakeApi } from './fake-api.ts'
import { pod, sliceOf } from './slice-book.ts'

/** Those of the test that runs. */
export let api: FakeApi
export let clock: FakeClock
export let updates: SourceUpdate[]
export let watch: SourceWatch | undefined

/** Before each test: a server with one slice `a` of one pod `u1`, at version 101. */
export const useScene = (): void => {
  beforeEach(async () => {
    api = new FakeApi()
    clock = fakeClock()
    updates = []
    await api.listen()
    await write('a', 'u1')
  })
  afterEach(async () => {
    await watch?.close()
    watch = undefined
    await api.kill()
  })
}

export const write = (name: string, ...uids: readonly string[]): Promise<void> =>
  api.put(
    'shop',
    name,
    sliceOf(
      'orders',
      name,
      uids.map((uid) => pod(uid, `10.0.0.${uid.slice(1)}`)),
    ),
  )

// Nothing runs out of time by itself, however slow this machine is, because tests move the clock while answers are on their way.
export const begin = (options: KubernetesSourceOptions = {}, service = 'orders.shop'): void => {
  const source = kubernetesSource({ server: api.url, clock, random: seededRandom(7), timeoutMs: 600_000, ...options })
  watch = source.watch(service, (update) => void updates.push(update))
}

export const until = async (what: string, is: () => boolean, stepMs = 0): Promise<void> => {
  for (let tries = 0; tries < 2_000; tries++) {
    if (is()) return
    await clock.advance(stepMs)
    await sleepReally(2)
  }
  throw new Error(`waited in vain: ${what}; told ${JSON.stringify(updates).slice(0, 600)}; asked ${shownAsked()}`)
}
// Long enough for what would be on its way over the loopback interface.
export const quiet = async (): Promise<void> => {
  for (let each = 0; each < 10; each++) {
    await clock.advance(0)
    await sleepReally(5)
  }
}

export const shown = (update: SourceUpdate | undefined): string => {
  if (update === undefined) return 'nothing'
  if (update.type === 'absent') return 'absent'
  if (update.type === 'error') return `error ${(update.error as { code: string }).code}`
  return update.endpoints.map(({ id }) => id).join(' ') || 'empty'
}
export const told = (): readonly string[] => updates.map(shown)
export const tells = (what: string, stepMs = 0): Promise<void> =>
  until(`to be told ${what}`, () => shown(updates.at(-1)) === what, stepMs)
export const asked = (): readonly string[] =>
  api.asked.map(({ watch: is, query }) => {
    const version = query.get('resourceVersion')
    return is
      ? `watch ${version}`
      : `list ${version ?? 'latest'}${query.has('resourceVersionMatch') ? ' or newer' : ''}`
  })
const shownAsked = (): string => asked().join(', ')
export const watching = (): Promise<void> => until('a watch to stand', () => api.watches === 1)
