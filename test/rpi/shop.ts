// The contract that most tests of this room use, and a server for it that counts.
import { z } from 'zod'
import type { CallContext } from '../../src/core/context.ts'
import type { OperationDescriptor, RpiReply, RpiTransport } from '../../src/core/contracts/rpi.ts'
import { defineContract } from '../../src/rpi/index.ts'

export const Inventory = defineContract('inventory', {
  stock: {
    http: 'GET /stock/:sku',
    input: z.object({ sku: z.string(), warehouse: z.string().optional() }),
    output: z.object({ level: z.number() }),
  },
  reserve: {
    http: 'POST /reservations',
    idempotent: true,
    input: z.object({ sku: z.string(), quantity: z.number().int().positive() }),
    output: z.object({ reservationId: z.string() }),
    failures: {
      outOfStock: z.object({ left: z.number() }),
      unknownSku: { schema: z.object({ sku: z.string() }), status: 404 },
    },
  },
  release: { http: 'DELETE /reservations/:id', input: z.object({ id: z.string() }) },
  ping: {},
})

/** A transport that answers as the test says, and remembers what it was given. */
export interface ScriptedTransport extends RpiTransport {
  readonly calls: { readonly operation: OperationDescriptor; readonly input: unknown; readonly context: CallContext }[]
}

export function scripted(
  answer: (input: unknown, context: CallContext, operation: OperationDescriptor) => RpiReply | Promise<RpiReply>,
): ScriptedTransport {
  const calls: ScriptedTransport['calls'] = []
  return {
    name: 'scripted',
    calls,
    async invoke(operation, input, context) {
      calls.push({ operation, input, context })
      return await answer(input, context, operation)
    },
    async close() {},
  }
}

/** What a promise rejects with; fails where it does not reject. */
export async function rejection(promise: Promise<unknown>): Promise<any> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new Error('it did not reject')
}

/** What a function throws; fails where it does not. */
export function thrown(work: () => unknown): any {
  try {
    work()
  } catch (error) {
    return error
  }
  throw new Error('it did not throw')
}
