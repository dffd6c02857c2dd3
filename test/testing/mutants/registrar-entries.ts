// Registrars that announce something else than they were given, or do not keep it.
import type { Endpoint, RegisterOptions, Registrar } from '../../../src/core/contracts/source.ts'
import type { KeepOptions } from '../../../src/discovery/keep-registered.ts'
import { memoryRegistrar, type RegistrarMutant, type RegistrarTweaks, type World } from './registry-kit.ts'

const tweaked =
  (protocol: NonNullable<RegistrarTweaks['protocol']>, keep: Partial<KeepOptions> = {}) =>
  (world: World): Registrar =>
    memoryRegistrar(world, { protocol, keep })

// Gives the right registrar something else.
const given =
  (
    change: (endpoint: Endpoint, service: string) => Endpoint,
    options: (given: RegisterOptions) => RegisterOptions = (same) => same,
  ) =>
  (world: World): Registrar => {
    const real = memoryRegistrar(world)
    return {
      ...real,
      register: (service, endpoint, more = {}) => real.register(service, change(endpoint, service), options(more)),
    }
  }

const without = (name: keyof Endpoint): RegistrarMutant['make'] =>
  given(
    (endpoint) => Object.fromEntries(Object.entries(endpoint).filter(([key]) => key !== name)) as unknown as Endpoint,
  )

const HEALTH = {
  no: 'is not ready while its health check says no, and ready again after',
  throws: 'takes a health check that throws for a no',
  hangs: 'takes a health check that never answers for a no',
  start: 'is not ready from the start where its health check says no',
}

export const entryMutants: readonly RegistrarMutant[] = [
  {
    what: 'says that it has registered and has not',
    caught: ['is read by others once it is registered', 'announces several endpoints of several services'],
    make: tweaked(() => ({ register: async () => {} })),
  },
  {
    what: 'is ready at once',
    caught: ['announces the state that it is given', 'is ready for nobody before it says so'],
    make: given((endpoint) => ({ ...endpoint, state: 'ready' })),
  },
  {
    what: 'does not tell its state',
    caught: [
      'tells each change of state at once',
      'is ready for nobody while it drains',
      'makes up for a state that could not be told',
    ],
    make: tweaked(() => ({ setState: async () => {} })),
  },
  {
    what: 'tells its states in whatever order',
    caught: ['keeps the order of state changes'],
    make(world) {
      const real = memoryRegistrar(world)
      return {
        ...real,
        async register(service, endpoint, options) {
          const inner = await real.register(service, endpoint, options)
          return {
            endpoint: inner.endpoint,
            onLost: (listener) => inner.onLost(listener),
            deregister: () => inner.deregister(),
            async setState(state) {
              if (state !== 'ready') await new Promise<void>((done) => world.clock.setTimer(done, 100, undefined))
              await inner.setState(state)
            },
          }
        },
      }
    },
  },
  { what: 'has no weight', caught: ['carries weight'], make: without('weight') },
  { what: 'has no zone', caught: ['carries the zone'], make: without('zone') },
  { what: 'has no priority', caught: ['carries priority'], make: without('priority') },
  { what: 'has no metadata', caught: ['carries metadata'], make: without('metadata') },
  { what: 'has no named ports', caught: ['carries named ports'], make: without('ports') },
  {
    what: 'has one id for a service',
    caught: ['announces several endpoints of several services', 'leaves others where they are'],
    make: given((endpoint, service) => ({ ...endpoint, id: service })),
  },
  {
    what: 'gives no sign of life',
    caught: ['keeps the entry alive beyond its lease'],
    make: tweaked(() => ({}), { intervalMs: 1e9 }),
  },
  {
    what: 'has no jitter',
    caught: ['gives signs of life a little apart from the beat of others'],
    make: tweaked(() => ({}), { random: () => 0.5 }),
  },
  {
    what: 'asks nobody for its health',
    caught: [HEALTH.no, HEALTH.throws, HEALTH.hangs, HEALTH.start],
    make: given(
      (endpoint) => endpoint,
      (options) => ({ ...options, health: undefined }),
    ),
  },
  {
    what: 'takes a health check that throws for a yes',
    caught: [HEALTH.throws],
    make: given(
      (endpoint) => endpoint,
      ({ health, ...more }) => ({ ...more, health: async () => Promise.resolve(health?.() ?? true).catch(() => true) }),
    ),
  },
  {
    what: 'takes a health check that never answers for a yes',
    caught: [HEALTH.hangs],
    make: (world) => {
      const real = memoryRegistrar(world)
      return {
        ...real,
        register: (service, endpoint, { health, ...more } = {}) =>
          real.register(service, endpoint, {
            ...more,
            health: () =>
              Promise.race([
                Promise.resolve(health?.() ?? true),
                new Promise<boolean>((resolve) => world.clock.setTimer(resolve, 100, true)),
              ]),
          }),
      }
    },
  },
  {
    what: 'stays down once it was sick',
    caught: [HEALTH.no, HEALTH.start],
    make: (world) => {
      const real = memoryRegistrar(world)
      return {
        ...real,
        register(service, endpoint, { health, ...more } = {}) {
          let sick = false
          return real.register(service, endpoint, {
            ...more,
            health: async () => {
              sick = sick || (await health?.()) === false
              return !sick
            },
          })
        },
      }
    },
  },
  {
    what: 'believes that the registry still has it',
    caught: [
      'registers again by itself when the registry has forgotten it, with the state it had',
      'registers again when the registry is back and empty',
    ],
    make: tweaked((real) => ({
      beat: async (state, signal) => {
        await real.beat(state, signal)
        return 'kept'
      },
    })),
  },
  {
    what: 'registers again as it was at first',
    caught: ['registers again by itself when the registry has forgotten it, with the state it had'],
    make: tweaked((real, _world, _service, endpoint) => ({
      register: (_, signal) => real.register(endpoint.state ?? 'ready', signal),
    })),
  },
  {
    what: 'fights for its id',
    caught: ['tells that another process has announced the same id, and does not fight over it'],
    make: tweaked((real) => ({
      async beat(state, signal) {
        const answer = await real.beat(state, signal)
        return answer === 'taken' ? 'unknown' : answer
      },
    })),
  },
  {
    what: 'takes back what is somebody else’s by now',
    caught: [
      'tells that another process has announced the same id, and does not fight over it',
      'leaves once, however often it is asked to',
    ],
    make(world) {
      const real = memoryRegistrar(world)
      return {
        ...real,
        async register(service, endpoint, options) {
          const inner = await real.register(service, endpoint, options)
          return {
            endpoint: inner.endpoint,
            onLost: (listener) => inner.onLost(listener),
            setState: (state) => inner.setState(state),
            async deregister() {
              await inner.deregister()
              world.registry.forget(service, endpoint.id)
            },
          }
        },
      }
    },
  },
]
