// The service of the processes: one operation that may be called twice, and one that must not.
import { z } from 'zod'
import { defineContract } from '../../../src/rpi/index.ts'

// `call` is unique: servers and clients count by it. `by` is the instance, `colour` what it was told to answer.
const input = z.object({ call: z.string() })
const output = z.object({ by: z.string(), colour: z.string() })

export const Parcels = defineContract('parcels', {
  track: { http: 'GET /parcels/:call', input, output },
  order: { http: 'POST /parcels', input, output },
})
