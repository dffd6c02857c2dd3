// The service that the processes serve. Not idempotent: an order that fails after it was sent is not tried again.
import { z } from 'zod'
import { defineContract } from '../../../src/rpi/index.ts'

export const Shop = defineContract('shop', {
  order: { http: 'POST /orders', input: z.object({ n: z.number() }), output: z.object({ by: z.number() }) },
})
