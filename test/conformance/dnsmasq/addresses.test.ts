// The suite of sources over a real DNS server: A and AAAA records, changed, killed, paused, restored.
import { describe, test } from 'vitest'
import { testSource } from '../../../src/testing/index.ts'
import { addressLab } from './labs.ts'

await testSource('dns: addresses', addressLab, { describe, test })
