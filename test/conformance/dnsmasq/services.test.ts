// The suite of sources over a real DNS server: SRV records, and a bad way to it.
import { describe, test } from 'vitest'
import { testSource } from '../../../src/testing/index.ts'
import { serviceLab } from './labs.ts'

await testSource('dns: SRV records', serviceLab, { describe, test })
