// A Eureka of one's own as a lab of the suites: Toxiproxy before a front that counts, before the server.
import { type EurekaSourceOptions, eurekaSource } from '../../../src/adapters/eureka/index.ts'
import type { RegistryFaults, SourceLab } from '../../../src/testing/index.ts'
import { type EurekaInstance, startEureka } from '../../services/eureka-instance.ts'
import { proxyTo, type ToxicProxy } from '../../services/toxiproxy.ts'
import { type Foreign, type ForeignInstance, foreign } from './foreign.ts'
import { type Front, frontOf } from './front.ts'

/** One way to the registry, with all that can happen on it. */
export interface Way {
  /** Base URL through proxy and front. */
  readonly url: string
  readonly front: Front
  readonly foreign: Foreign
  readonly faults: RegistryFaults
  close(): Promise<void>
}

/** The server of one test file, and ways to it. */
export interface Ground {
  readonly instance: EurekaInstance
  way(): Promise<Way>
  close(): Promise<void>
}

/** Starts a server for a test file. */
export const ground = async (): Promise<Ground> => {
  const instance = await startEureka()
  const hand = foreign(instance.url)
  return {
    instance,
    async way() {
      const front = await frontOf(instance)
      const proxy = await proxyTo(front)
      return {
        url: `http://127.0.0.1:${proxy.port}/eureka`,
        front,
        foreign: hand,
        faults: faultsOf(instance, front, proxy, hand),
        async close() {
          await proxy.remove()
          await front.close()
          await hand.clear()
        },
      }
    },
    close: () => instance.remove(),
  }
}

/** A lab of the suite for sources. */
export const sourceLab = async (
  shared: Ground,
  options: Partial<EurekaSourceOptions>,
  maxEndpoints: number,
): Promise<SourceLab> => {
  const way = await shared.way()
  const nobody = options.by === 'vip' ? 'empty' : 'absent'
  return {
    traits: {
      unknown: nobody,
      emptied: nobody,
      states: ['ready', 'starting', 'draining', 'down'],
      weights: true,
      zones: true,
      metadata: true,
      namedPorts: true,
      seesChangeWithinMs: 200,
      seesSilenceWithinMs: 6_000,
      maxEndpoints,
    },
    source: () => eurekaSource({ urls: way.url, intervalMs: 200, timeoutMs: 5_000, ...options }),
    announce: (service, endpoints) => way.foreign.announce(service, endpoints),
    spoil: (service) => way.foreign.post(service, 'spoilt', { port: { $: 0, '@enabled': 'true' } }),
    faults: way.faults,
    openThings: () => way.front.open,
    questions: () => way.front.questions,
    close: () => way.close(),
  }
}

// A JVM takes seconds to start, so death is a port that refuses here, and what is lost is taken away by the foreign hand. Real deaths are in
// trouble.test.ts.
const faultsOf = (instance: EurekaInstance, front: Front, proxy: ToxicProxy, hand: Foreign): RegistryFaults => {
  let saved: readonly ForeignInstance[] = []
  return {
    async kill() {
      await proxy.refuse()
      await front.refuse()
      return async (as) => {
        if (as !== 'kept') await hand.clear()
        if (as === 'saved') await hand.restore(saved)
        await front.admit()
        await proxy.mend()
      }
    },
    starts: ['empty', 'kept', 'saved'],
    async save() {
      saved = await hand.all()
    },
    async pause() {
      instance.pause()
      return async () => instance.resume()
    },
    async freeze() {
      await proxy.toxic('timeout', { timeout: 0 }, 'downstream')
      await proxy.toxic('timeout', { timeout: 0 }, 'upstream')
      return () => proxy.mend()
    },
    async cut() {
      await proxy.refuse()
      await proxy.mend()
    },
    async slow(ms) {
      await proxy.toxic('latency', { latency: ms })
      return () => proxy.mend()
    },
    async garble() {
      front.garbling = true
      return async () => {
        front.garbling = false
      }
    },
  }
}
