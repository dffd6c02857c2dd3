// Sources that tell the wrong set, or not all that the registry says of an endpoint.
import type { Endpoint, Source } from '../../../src/core/contracts/source.ts'
import { createError } from '../../../src/errors/index.ts'
import { type Answered, memorySource, type SourceMutant, type SourceTweaks, type World } from './registry-kit.ts'

const tweaked =
  (tweaks: SourceTweaks | (() => SourceTweaks)) =>
  (world: World): Source =>
    memorySource(world, typeof tweaks === 'function' ? tweaks() : tweaks)

const each = (change: (endpoint: Endpoint) => Endpoint): SourceTweaks => ({
  entries: (endpoints) => endpoints.map(change),
})

const size = (update: Answered): number => (update.type === 'snapshot' ? update.endpoints.length : 0)

const without = (name: keyof Endpoint): SourceTweaks =>
  each(
    (endpoint) => Object.fromEntries(Object.entries(endpoint).filter(([key]) => key !== name)) as unknown as Endpoint,
  )

// Remembers the last word of each service.
function remembering(judge: (before: Answered | undefined, now: Answered) => Answered): () => SourceTweaks {
  return () => {
    const last = new Map<string, Answered>()
    return {
      word(update, service) {
        const word = judge(last.get(service), update)
        last.set(service, word)
        return word
      },
    }
  }
}

export const tellingMutants: readonly SourceMutant[] = [
  {
    what: 'looks once and never again',
    caught: [
      'tells an endpoint that appears, without being asked',
      'tells an endpoint that vanishes, without being asked',
      'tells that the last one has gone',
      'tells a service that becomes known while it is watched',
      'tells most of the endpoints gone at once, as it is',
      'ends at the truth when endpoints come and go quickly',
    ],
    make: tweaked({ everyMs: 1_000_000 }),
  },
  {
    what: 'waits for its interval before the first question',
    caught: ['tells who is there as soon as it knows'],
    make(world) {
      const real = memorySource(world)
      return {
        ...real,
        watch(service, sink) {
          let inner: ReturnType<Source['watch']> | undefined
          const timer = world.clock.setTimer(() => (inner = real.watch(service, sink)), 1_000, undefined)
          return {
            refresh: () => inner?.refresh(),
            async close() {
              world.clock.clearTimer(timer)
              await inner?.close()
            },
          }
        },
      }
    },
  },
  {
    what: 'makes new ids each time',
    caught: ['tells each endpoint by the same id in every snapshot and from every source'],
    make: tweaked(() => {
      let made = 0
      return each((endpoint) => ({ ...endpoint, id: `${endpoint.id}/${made++}` }))
    }),
  },
  {
    what: 'takes the address for the id',
    caught: ['tells the ids that were announced', 'tells a change of host, of the same endpoint'],
    make: tweaked(each((endpoint) => ({ ...endpoint, id: endpoint.addresses[0]?.host ?? '' }))),
  },
  {
    what: 'makes ids of places in the list',
    caught: ['tells each endpoint by the same id in every snapshot and from every source'],
    make: tweaked({ entries: (endpoints) => endpoints.map((endpoint, index) => ({ ...endpoint, id: `#${index}` })) }),
  },
  {
    what: 'holds the old set when most of it is gone',
    caught: [
      'tells most of the endpoints gone at once, as it is',
      'tells a registry that is back and empty as it is, and sees who announces again',
    ],
    make: tweaked(remembering((before, now) => (before !== undefined && size(now) < size(before) / 2 ? before : now))),
  },
  {
    what: 'only ever adds',
    caught: [
      'tells an endpoint that vanishes, without being asked',
      'sees the truth when the registry is back with an old state',
    ],
    make: tweaked(
      remembering((before, now) => {
        if (before?.type !== 'snapshot' || now.type !== 'snapshot') return now
        const gone = before.endpoints.filter(({ id }) => !now.endpoints.some((endpoint) => endpoint.id === id))
        return { ...now, endpoints: [...now.endpoints, ...gone] }
      }),
    ),
  },
  {
    what: 'takes an empty service for an unknown one',
    caught: ['tells that the last one has gone'],
    make: tweaked({ word: (update) => (size(update) === 0 ? { type: 'absent' } : update) }),
  },
  {
    what: 'takes an unknown service for an empty one',
    caught: ['tells a service that nobody has announced as what it is, and not as an error'],
    make: tweaked({ word: (update) => (update.type === 'absent' ? { type: 'snapshot', endpoints: [] } : update) }),
  },
  {
    what: 'takes an unknown service for an error',
    caught: ['tells a service that nobody has announced as what it is, and not as an error'],
    make: tweaked({
      word(update) {
        if (update.type === 'absent') throw createError({ code: 'NO_ENDPOINT', message: 'unknown' })
        return update
      },
    }),
  },
  {
    what: 'gives up a service that is unknown at first',
    caught: ['tells a service that becomes known while it is watched'],
    make: tweaked(remembering((before, now) => (before?.type === 'absent' ? before : now))),
  },
  {
    what: 'keeps what it has once read of an id',
    caught: [
      'tells a change of port, of the same endpoint',
      'tells a change of host, of the same endpoint',
      'tells a change of state, of the same endpoint',
      'tells a change of weight',
      'tells a change of metadata',
    ],
    make: tweaked(() => {
      const known = new Map<string, Endpoint>()
      return each((endpoint) => {
        const first = known.get(endpoint.id) ?? endpoint
        known.set(endpoint.id, first)
        return first
      })
    }),
  },
  {
    what: 'does not read weights',
    caught: ['tells weights as they are', 'tells a change of weight'],
    make: tweaked(without('weight')),
  },
  { what: 'does not read priorities', caught: ['tells priorities as they are'], make: tweaked(without('priority')) },
  { what: 'does not read zones', caught: ['tells zones as they are'], make: tweaked(without('zone')) },
  {
    what: 'does not read metadata',
    caught: ['tells metadata as it is', 'tells a change of metadata'],
    make: tweaked(without('metadata')),
  },
  { what: 'does not read named ports', caught: ['tells named ports as they are'], make: tweaked(without('ports')) },
  {
    what: 'does not read states',
    caught: ['tells a change of state, of the same endpoint'],
    make: tweaked(without('state')),
  },
  {
    what: 'leaves out who is not ready',
    caught: ['tells a change of state, of the same endpoint'],
    make: tweaked({ entries: (endpoints) => endpoints.filter(({ state = 'ready' }) => state === 'ready') }),
  },
  {
    what: 'mixes services',
    caught: ['keeps services apart'],
    make: tweaked(() => {
      const all = new Map<string, readonly Endpoint[]>()
      return {
        entries(endpoints, service) {
          all.set(service, endpoints)
          return [...all.values()].flat()
        },
      }
    }),
  },
  {
    what: 'has room for one watch of a service',
    caught: ['tells every watch of one service', 'closes one watch and leaves the others'],
    make(world) {
      const real = memorySource(world)
      const latest = new Map<string, number>()
      return {
        ...real,
        watch(service, sink) {
          const mine = (latest.get(service) ?? 0) + 1
          latest.set(service, mine)
          return real.watch(service, (update) => {
            if (latest.get(service) === mine) sink(update)
          })
        },
      }
    },
  },
  {
    what: 'has room for ten watches',
    caught: ['watches many services at once'],
    make(world) {
      const real = memorySource(world)
      let watches = 0
      return { ...real, watch: (service, sink) => real.watch(service, ++watches > 10 ? () => {} : sink) }
    },
  },
  {
    what: 'reads a page and no more',
    caught: ['tells thousands of endpoints, whole'],
    make: tweaked({ entries: (endpoints) => endpoints.slice(0, 1_000) }),
  },
  {
    what: 'tells pages as they come',
    caught: ['tells thousands of endpoints, whole'],
    make(world) {
      const real = memorySource(world)
      return {
        ...real,
        watch: (service, sink) =>
          real.watch(service, (update) => {
            if (update.type === 'snapshot' && update.endpoints.length > 1_000)
              sink({ ...update, endpoints: update.endpoints.slice(0, 1_000) })
            sink(update)
          }),
      }
    },
  },
  {
    what: 'misses what changes soon after a change',
    caught: ['ends at the truth when endpoints come and go quickly'],
    make(world) {
      const real = memorySource(world, { mode: 'wait' })
      return {
        ...real,
        watch(service, sink) {
          let toldAt = Number.NEGATIVE_INFINITY
          return real.watch(service, (update) => {
            if (world.clock.now() - toldAt < 100) return
            toldAt = world.clock.now()
            sink(update)
          })
        },
      }
    },
  },
  {
    what: 'gives what is no endpoint as it is',
    caught: ['leaves out what is no endpoint, says so, and gives the rest'],
    make: tweaked({ bad: 'given' }),
  },
  {
    what: 'fails as a whole where one entry is no endpoint',
    caught: ['leaves out what is no endpoint, says so, and gives the rest'],
    make: tweaked({ bad: 'fails' }),
  },
  {
    what: 'leaves out in silence what is no endpoint',
    caught: ['leaves out what is no endpoint, says so, and gives the rest'],
    make: tweaked({ bad: 'silently' }),
  },
]
