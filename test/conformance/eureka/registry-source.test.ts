// The suite for sources over the real Eureka: one poll of the whole registry for all services.
import { afterAll, describe, test } from 'vitest'
import { sourceCases, testSource } from '../../../src/testing/index.ts'
import { ground, sourceLab } from './lab.ts'

const shared = await ground()
afterAll(() => shared.close())

// Pauses are those of `keepAsking`, and seen with the other source already; they take 15 seconds.
const only = sourceCases.map(({ name }) => name).filter((name) => !name.includes('pauses that grow'))

await testSource('eureka by registry', () => sourceLab(shared, { by: 'registry' }, 2_000), { describe, test, only })
