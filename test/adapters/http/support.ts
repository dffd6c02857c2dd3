// What the tests of this room share: operations, calls without policies, and a way to wait for a condition.
import { systemClock } from '../../../src/core/clock.ts'
import { type AbortableContext, type ContextInit, createContext } from '../../../src/core/context.ts'
import type { OperationDescriptor, RpiReply, RpiTransport } from '../../../src/core/contracts/rpi.ts'
import { deadlineAt } from '../../../src/core/deadline.ts'
import type { FairleadError } from '../../../src/errors/base.ts'

export function operation(binding: string, more: Partial<OperationDescriptor> = {}): OperationDescriptor {
  const [method = '', path = ''] = binding.split(' ')
  return {
    service: 'stock',
    name: 'get',
    idempotent: method !== 'POST',
    streaming: 'none',
    failures: [],
    bindings: { http: { method, path } },
    ...more,
  }
}

export function context(init: Partial<ContextInit> = {}): AbortableContext {
  return createContext({
    service: 'stock',
    operation: 'get',
    deadline: deadlineAt(Infinity, systemClock),
    idempotent: false,
    ...init,
  })
}

/** One call without any policy. */
export function call(
  transport: RpiTransport,
  binding: string | OperationDescriptor,
  input?: unknown,
  init?: Partial<ContextInit>,
): Promise<RpiReply> {
  return transport.invoke(typeof binding === 'string' ? operation(binding) : binding, input, context(init).context)
}

/** The error of a call that must fail. */
export async function failure(work: Promise<unknown>): Promise<FairleadError> {
  try {
    await work
  } catch (error) {
    return error as FairleadError
  }
  throw new Error('the call went well')
}

/** Lets I/O go on until a condition holds. The test's own timeout is the bound. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await turns(1)
}

/** Lets promises and I/O that are due go on, for saying that nothing more happens. */
export async function turns(count: number = 10): Promise<void> {
  for (let n = 0; n < count; n++) await new Promise((resolve) => setImmediate(resolve))
}
