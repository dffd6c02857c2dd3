// The suite for sources over the real Eureka: asking for one application at a time.
import { afterAll, describe, test } from 'vitest'
import { testSource } from '../../../src/testing/index.ts'
import { ground, sourceLab } from './lab.ts'

const shared = await ground()
afterAll(() => shared.close())

await testSource('eureka by app', () => sourceLab(shared, { by: 'app' }, 5_000), { describe, test })
