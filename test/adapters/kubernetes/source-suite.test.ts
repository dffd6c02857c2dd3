// The contract of sources, over a fake API server on a real socket: fast, and with troubles that a real one cannot be made to have.
import { describe, test } from 'vitest'
import { kubernetesSource } from '../../../src/adapters/kubernetes/source.ts'
import { type Clock, sleep, systemClock } from '../../../src/core/clock.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import type { SourceLab } from '../../../src/testing/source-suite/index.ts'
import { testSource } from '../../../src/testing/source-suite/index.ts'
import { FakeApi } from './kit/fake-api.ts'
import { SliceBook, sliceOf } from './kit/slice-book.ts'

// Time runs faster than it does, so that pauses are short and sockets are still real.
const FASTER = 5

const fastClock = (): { readonly clock: Clock; readonly timers: () => number } => {
  const set = new Set<unknown>()
  return {
    timers: () => set.size,
    clock: {
      now: () => systemClock.now() * FASTER,
      wallNow: () => systemClock.wallNow(),
      setTimer(callback, ms, arg) {
        const timer = systemClock.setTimer(
          () => {
            set.delete(timer)
            callback(arg)
          },
          ms / FASTER,
          undefined,
        )
        set.add(timer)
        return timer
      },
      clearTimer(timer) {
        set.delete(timer)
        systemClock.clearTimer(timer)
      },
      unref: (timer) => systemClock.unref(timer),
    },
  }
}

const makeLab = async (): Promise<SourceLab> => {
  const api = new FakeApi()
  await api.listen()
  const book = new SliceBook(api, 'shop')
  let saved = api.save()
  let savedBook = book.copy()
  let seed = 0
  const { clock, timers } = fastClock()
  return {
    clock,
    timers,
    pass: (ms) => sleep(systemClock, ms / FASTER),
    patienceMs: 5_000,
    traits: {
      states: ['ready', 'draining', 'down'],
      zones: true,
      namedPorts: true,
      unknown: 'absent',
      emptied: 'empty',
      seesChangeWithinMs: 1_000,
      seesSilenceWithinMs: 40_000,
      recoversWithinMs: 15_000,
      refreshes: false,
    },
    source: () =>
      kubernetesSource({
        server: api.url,
        namespace: 'shop',
        idleMs: 8_000,
        timeoutMs: 20_000,
        clock,
        random: seededRandom(++seed),
      }),
    announce: (service, endpoints) => book.announce(service, endpoints),
    spoil: (service) => api.put('shop', `${service}-bad`, sliceOf(service, `${service}-bad`, [{ addresses: [] }])),
    openThings: () => api.open,
    questions: () => api.asked.length,
    faults: {
      starts: ['kept', 'empty', 'saved'],
      async kill() {
        await api.kill()
        return async (as) => {
          if (as === 'empty') {
            api.empty()
            book.restore()
          }
          if (as === 'saved') {
            saved()
            book.restore(savedBook)
          }
          await api.listen()
        }
      },
      async save() {
        saved = api.save()
        savedBook = book.copy()
      },
      async freeze() {
        api.frozen = true
        return async () => {
          api.frozen = false
        }
      },
      async cut() {
        api.cut()
      },
      async slow(ms) {
        api.slowMs = ms / FASTER
        return async () => {
          api.slowMs = 0
        }
      },
      async garble() {
        api.garbled = '<html><body>502 Bad Gateway</body></html>'
        api.cut()
        return async () => {
          api.garbled = undefined
        }
      },
    },
    close: () => api.kill(),
  }
}

await testSource('kubernetes over a fake API server', makeLab, { describe, test })
