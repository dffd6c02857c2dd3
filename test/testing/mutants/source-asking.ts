// Sources that ask too often, too seldom, or not again; that take a failure for an answer; and that do not end.
import type { Source, SourceUpdate, SourceWatch } from '../../../src/core/contracts/source.ts'
import type { Asked } from '../../../src/discovery/asking.ts'
import { memorySource, type SourceMutant, type SourceTweaks, type World } from './registry-kit.ts'

const tweaked =
  (tweaks: SourceTweaks) =>
  (world: World): Source =>
    memorySource(world, tweaks)

// A watch with something else in place of what the right one does.
const watching =
  (
    change: (
      real: SourceWatch,
      world: World,
      start: () => SourceWatch,
    ) => { refresh?(): void; close?(): Promise<void> },
    heard: (update: SourceUpdate, sink: (update: SourceUpdate) => void, world: World) => void = (update, sink) =>
      sink(update),
    tweaks: SourceTweaks = {},
  ) =>
  (world: World): Source => {
    const real = memorySource(world, tweaks)
    return {
      ...real,
      watch(service, sink) {
        const start = (): SourceWatch => real.watch(service, (update) => heard(update, sink, world))
        const inner = start()
        return { refresh: () => inner.refresh(), close: () => inner.close(), ...change(inner, world, start) }
      },
    }
  }

const nobody = (type: 'absent' | 'snapshot') => (): Asked => ({
  update: type === 'absent' ? { type } : { type, endpoints: [] },
  againMs: 500,
})

export const askingMutants: readonly SourceMutant[] = [
  {
    what: 'takes a failure for an empty answer',
    caught: [
      'tells an error first when the registry cannot be asked, and does not throw',
      'takes the death of the registry for no loss',
      'takes answers that cannot be read for errors, never for nobody',
      'sees the truth when the registry is back on its data',
    ],
    make: tweaked({ failure: nobody('snapshot') }),
  },
  {
    what: 'takes a failure for a service that is unknown',
    caught: ['takes the death of the registry for no loss'],
    make: tweaked({ failure: nobody('absent') }),
  },
  {
    what: 'takes an answer that is late for an empty one',
    caught: ['takes a registry that is stuck for no loss, and goes on'],
    make: tweaked({ timeoutMs: 1_000, failure: nobody('snapshot') }),
  },
  {
    what: 'says nothing of failures',
    caught: [
      'tells an error first when the registry cannot be asked, and does not throw',
      'takes the death of the registry for no loss',
    ],
    make: tweaked({ failure: () => ({ update: undefined, againMs: 500 }) }),
  },
  {
    what: 'throws when the registry is dead',
    caught: ['tells an error first when the registry cannot be asked, and does not throw'],
    make(world) {
      const real = memorySource(world)
      return {
        ...real,
        watch(service, sink) {
          if (world.registry.dead) throw new Error('cannot connect')
          return real.watch(service, sink)
        },
      }
    },
  },
  {
    what: 'ends at the first failure',
    caught: [
      'sees the truth when the registry is back on its data',
      'tells a registry that is back and empty as it is, and sees who announces again',
      'sees the truth when the registry is back with an old state',
      'tells an error once a try, after pauses that grow and differ',
      'goes on when its connections are cut',
    ],
    make: watching(() => ({}), undefined, { mode: 'wait', loop: { leastMs: 1e9, mostMs: 1e9 } }),
  },
  {
    what: 'does not believe that a registry can be empty',
    caught: ['tells a registry that is back and empty as it is, and sees who announces again'],
    make: watching(
      () => ({}),
      (update, sink) => {
        if (update.type === 'error' || (update.type === 'snapshot' && update.endpoints.length > 0)) sink(update)
      },
    ),
  },
  {
    what: 'keeps its place when the registry has gone back',
    caught: ['sees the truth when the registry is back with an old state'],
    make: tweaked({ mode: 'wait', keepsIndex: true }),
  },
  {
    what: 'asks again at once after a failure',
    caught: [
      'tells an error once a try, after pauses that grow and differ',
      'is not hurried by refreshes while the registry fails',
    ],
    make: tweaked({ loop: { leastMs: 10, mostMs: 10 } }),
  },
  {
    what: 'has no jitter',
    caught: ['tells an error once a try, after pauses that grow and differ'],
    make: tweaked({ loop: { random: () => 0.5 } }),
  },
  {
    what: 'never gives up a question',
    caught: ['gives up a connection on which nothing comes, and goes on'],
    make: tweaked({ timeoutMs: Infinity }),
  },
  {
    what: 'gives up a question after half a second',
    caught: ['bears slow answers'],
    make: tweaked({ timeoutMs: 500 }),
  },
  {
    what: 'hears no refresh',
    caught: ['sees a change when it is told to look'],
    make: watching(() => ({ refresh() {} }), undefined),
  },
  {
    what: 'asks once for each refresh',
    caught: ['makes one question of many refreshes'],
    make: watching((_real, { registry }) => ({
      refresh: () => void registry.read('any', 0, new AbortController().signal).catch(() => {}),
    })),
  },
  {
    what: 'asks in a hurry',
    caught: ['asks calmly while nothing happens'],
    make: tweaked({ everyMs: 20 }),
  },
  {
    what: 'does not wait at the registry any more once it was cut',
    caught: ['goes on when its connections are cut'],
    make(world) {
      const real = memorySource(world, { mode: 'wait' })
      return {
        ...real,
        watch(service, sink) {
          const inner = real.watch(service, (update) => {
            sink(update)
            if (update.type === 'error') void inner.close()
          })
          return inner
        },
      }
    },
  },
]

export const endingMutants: readonly SourceMutant[] = [
  {
    what: 'goes on after close',
    caught: ['tells nothing after close', 'leaves no timer and no socket when the last watch is closed'],
    make: watching(() => ({ close: async () => {} })),
  },
  {
    what: 'tells its end',
    caught: ['tells nothing after close', 'can be closed by its own sink', 'closes before the first answer'],
    make(world) {
      const real = memorySource(world)
      return {
        ...real,
        watch(service, sink) {
          const inner = real.watch(service, sink)
          let closing: Promise<void> | undefined
          return {
            ...inner,
            refresh: () => inner.refresh(),
            close: () =>
              (closing ??= inner.close().then(() => {
                world.clock.setTimer(() => sink({ type: 'absent' }), 50, undefined)
              })),
          }
        },
      }
    },
  },
  {
    what: 'keeps its connection',
    caught: [
      'leaves no timer and no socket when the last watch is closed',
      'closes before the first answer',
      'closes while the registry is dead',
    ],
    make: tweaked({ closes: false }),
  },
  {
    what: 'waits for its question before it closes',
    caught: ['closes while the registry is stuck'],
    make: tweaked({ timeoutMs: Infinity, loop: { ask: () => new Promise(() => {}) } }),
  },
  {
    what: 'complains when it is closed twice',
    caught: ['closes once, however often it is asked to'],
    make: watching((real) => {
      let closed = false
      return {
        async close() {
          if (closed) throw new Error('closed already')
          closed = true
          await real.close()
        },
      }
    }),
  },
  {
    what: 'closes all watches with the first',
    caught: ['closes one watch and leaves the others'],
    make(world) {
      const real = memorySource(world)
      const all = new Set<SourceWatch>()
      return {
        ...real,
        watch(service, sink) {
          const inner = real.watch(service, sink)
          all.add(inner)
          return {
            refresh: () => inner.refresh(),
            async close() {
              for (const each of all) await each.close()
            },
          }
        },
      }
    },
  },
  {
    what: 'is dead once nobody watches',
    caught: ['can be watched again after the last watch was closed'],
    make(world) {
      const real = memorySource(world)
      let ended = false
      return {
        ...real,
        watch(service, sink) {
          const inner = real.watch(service, (update) => {
            if (!ended) sink(update)
          })
          return {
            refresh: () => inner.refresh(),
            async close() {
              ended = true
              await inner.close()
            },
          }
        },
      }
    },
  },
  {
    what: 'dies of a sink that throws',
    caught: ['goes on when its sink throws'],
    make: watching(
      () => ({}),
      (() => {
        const dead = new WeakSet<object>()
        return (update, sink) => {
          if (dead.has(sink)) return
          try {
            sink(update)
          } catch {
            dead.add(sink)
          }
        }
      })(),
    ),
  },
  {
    what: 'waits for the sink to be done before it can be closed',
    caught: ['can be closed by its own sink'],
    make(world) {
      const real = memorySource(world)
      return {
        ...real,
        watch(service, sink) {
          let telling = false
          const inner = real.watch(service, (update) => {
            telling = true
            sink(update)
            telling = false
          })
          return {
            refresh: () => inner.refresh(),
            close: () => (telling ? new Promise<void>(() => {}) : inner.close()),
          }
        },
      }
    },
  },
]
