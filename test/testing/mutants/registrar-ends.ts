// Registrars that do not get over trouble, and that do not leave as they should.
import type { Registrar, Registration } from '../../../src/core/contracts/source.ts'
import { memoryRegistrar, type RegistrarMutant, type RegistrarTweaks, type World } from './registry-kit.ts'

const tweaked =
  (protocol: NonNullable<RegistrarTweaks['protocol']>, keep: RegistrarTweaks['keep'] = {}) =>
  (world: World): Registrar =>
    memoryRegistrar(world, { protocol, keep })

// A registration that does something else.
const registered =
  (
    change: (
      real: Registration,
      world: World,
      service: string,
      again: () => Promise<Registration>,
    ) => Partial<Registration>,
  ) =>
  (world: World): Registrar => {
    const registrar = memoryRegistrar(world)
    return {
      ...registrar,
      async register(service, endpoint, options) {
        const register = (): Promise<Registration> => registrar.register(service, endpoint, options)
        const real = await register()
        return {
          endpoint: real.endpoint,
          onLost: (listener) => real.onLost(listener),
          setState: (state) => real.setState(state),
          deregister: () => real.deregister(),
          ...change(real, world, service, register),
        }
      },
    }
  }

const givesUp: NonNullable<RegistrarTweaks['protocol']> = (real) => {
  let over = false
  return {
    async beat(state, signal) {
      if (over) return 'kept'
      signal.addEventListener('abort', () => {
        over = true
      })
      try {
        return await real.beat(state, signal)
      } catch (error) {
        over = true
        throw error
      }
    },
  }
}

// A signal of nobody: the work goes on whatever happens.
const forEver = new AbortController().signal

export const endMutants: readonly RegistrarMutant[] = [
  {
    what: 'does not leave',
    caught: ['is gone once it is deregistered, and stays gone', 'leaves in the middle of a health check'],
    make: tweaked(() => ({ deregister: async () => {} })),
  },
  {
    what: 'comes back',
    caught: ['is gone once it is deregistered, and stays gone'],
    make: registered((real, { clock }, _service, again) => ({
      async deregister() {
        await real.deregister()
        clock.setTimer(() => void again(), 500, undefined)
      },
    })),
  },
  {
    what: 'takes all others along',
    caught: ['leaves others where they are'],
    make: registered((real, { registry }, service) => ({
      async deregister() {
        await real.deregister()
        registry.announce(service, [])
      },
    })),
  },
  {
    what: 'comes back by a change of state',
    caught: ['does not come back by a change of state after the end'],
    make: registered((real, _world, _service, again) => {
      let over = false
      return {
        setState: async (state) => void (over ? await again() : await real.setState(state)),
        async deregister() {
          over = true
          await real.deregister()
        },
      }
    }),
  },
  {
    what: 'keeps its connection',
    caught: [
      'leaves no timer and no socket',
      'rejects with a code when the registry is dead, leaves nothing, and may be tried again',
    ],
    make: tweaked(() => ({ close: async () => {} })),
  },
  {
    what: 'keeps a timer',
    caught: ['leaves no timer and no socket'],
    make: registered((_real, { clock }) => {
      clock.setTimer(() => {}, 1e6, undefined)
      return {}
    }),
  },
  {
    what: 'goes on registering while it leaves',
    caught: ['does not come back when it leaves in the middle of registering again'],
    make: tweaked((real) => {
      let first = true
      return {
        async register(state, signal) {
          if (first) {
            first = false
            return real.register(state, signal)
          }
          // Answers before it is done.
          void real.register(state, forEver).then(() => real.register(state, forEver))
        },
      }
    }),
  },
  {
    what: 'waits for its health check before it leaves',
    caught: ['leaves in the middle of a health check'],
    make(world) {
      const real = memoryRegistrar(world)
      return {
        ...real,
        async register(service, endpoint, { health, ...more } = {}) {
          let checking: unknown
          const inner = await real.register(service, endpoint, {
            ...more,
            ...(health === undefined
              ? {}
              : {
                  health: () => {
                    const asked = Promise.resolve(health())
                    checking = asked
                    return asked
                  },
                }),
          })
          return {
            endpoint: inner.endpoint,
            onLost: (listener) => inner.onLost(listener),
            setState: (state) => inner.setState(state),
            async deregister() {
              await checking
              await inner.deregister()
            },
          }
        },
      }
    },
  },
  {
    what: 'rejects without a code',
    caught: [
      'rejects with a code when the registry is dead, leaves nothing, and may be tried again',
      'rejects with a code when the registry is stuck',
    ],
    make(world) {
      const real = memoryRegistrar(world)
      return {
        ...real,
        register: (service, endpoint, options) =>
          real.register(service, endpoint, options).catch(() => {
            throw new Error('did not work')
          }),
      }
    },
  },
  {
    what: 'never gives up',
    caught: ['rejects with a code when the registry is stuck', 'leaves in bounded time when the registry is stuck'],
    make: tweaked(() => ({}), { timeoutMs: 1e8 }),
  },
  {
    what: 'does not leave before the registry has let it',
    caught: ['leaves in bounded time when the registry is dead'],
    make: registered((_real, { registry, clock }) => ({
      async deregister() {
        while (registry.dead) await new Promise<void>((done) => clock.setTimer(done, 100, undefined))
      },
    })),
  },
  {
    what: 'gives up at the first sign of life that fails',
    caught: ['goes on when the registry was dead for a while'],
    make: tweaked(givesUp),
  },
  {
    what: 'gives up at the first sign of life that is late',
    caught: ['goes on when the registry was stuck'],
    make: tweaked(givesUp, { timeoutMs: 200 }),
  },
  {
    what: 'forgets a state that it could not tell',
    caught: ['makes up for a state that could not be told'],
    make: tweaked((real) => ({ setState: (state, signal) => real.setState(state, signal).catch(() => {}) })),
  },
  {
    what: 'lives on in the registry',
    caught: ['is gone by itself when its process has died'],
    make(world) {
      const real = memoryRegistrar(world)
      return {
        ...real,
        register: (service, endpoint, more) => real.register(service, endpoint, { ...more, ttlMs: 1e9 }),
      }
    },
  },
]
