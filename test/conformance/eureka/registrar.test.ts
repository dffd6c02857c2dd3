// The suite for registrars over the real Eureka.
import { afterAll, describe, test } from 'vitest'
import { eurekaRegistrar } from '../../../src/adapters/eureka/index.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { type RegistrarLab, testRegistrar } from '../../../src/testing/index.ts'
import { ground } from './lab.ts'

const shared = await ground()
afterAll(() => shared.close())

const makeLab = async (): Promise<RegistrarLab> => {
  const way = await shared.way()
  return {
    traits: {
      states: ['ready', 'starting', 'draining', 'down'],
      weights: true,
      zones: true,
      metadata: true,
      namedPorts: true,
      ttlMs: 2_000,
      // A lease that was renewed lives twice as long as it says, and is swept once a second.
      expiresLateByMs: 4_000,
      noticesWithinMs: 1_000,
      givesUpWithinMs: 5_000,
    },
    registrar: (clock = systemClock) => eurekaRegistrar({ urls: way.url, timeoutMs: 1_500, clock }),
    read: (service) => way.foreign.read(service),
    expire: (service, id) => way.foreign.remove(service, id),
    faults: way.faults,
    openThings: () => way.front.open,
    beats: (service, id) => way.front.puts(`/eureka/apps/${service.toUpperCase()}/${id}`),
    close: () => way.close(),
  }
}

await testRegistrar('eureka', makeLab, { describe, test })
