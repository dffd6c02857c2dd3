// The contest as a process of fairlead.
import type { MessageTransport } from 'fairlead/core'
import { createOutbox, createProcessRunner, createRelay, defineProcess } from 'fairlead/messaging'
import { pgDriver, postgresStore } from 'fairlead/postgres'
import type { Pool, PoolClient } from 'pg'
import { passing } from '../messaging/passing.ts'
import { Answers, CONCURRENCY, Commands, type Contest, Orders, PATIENCE_MS, placing, startOthers } from './contest.ts'

interface State {
  readonly orderId: string
  readonly text: string
  answers: number
}

/** The process. */
export const Order = defineProcess('bench-order', { state: passing<State>() })
  .using<PoolClient>()
  .step('one', Commands, 'do-1')
  .step('two', Commands, 'do-2')
  .step('three', Commands, 'do-3')
  .onTimeout('patience', (process) => process.fail('it took too long'))
  .starts(Orders, 'placed', {
    id: ({ data }) => data.orderId,
    state: ({ data }) => ({ ...data, answers: 0 }),
    handle: ({ data }, process) => {
      process.timeout('patience', PATIENCE_MS)
      process.send('one', data)
    },
  })
  .on(Answers, 'done-1', {
    id: ({ data }) => data.orderId,
    answers: 'one',
    handle: ({ data }, process) => {
      process.state.answers++
      process.send('two', data)
    },
  })
  .on(Answers, 'done-2', {
    id: ({ data }) => data.orderId,
    answers: 'two',
    handle: ({ data }, process) => {
      process.state.answers++
      process.send('three', data)
    },
  })
  .on(Answers, 'done-3', {
    id: ({ data }) => data.orderId,
    answers: 'three',
    handle: (_, process) => {
      process.state.answers++
      process.complete()
    },
  })

/** Starts it: runner, outbox and relay in one program. */
export async function saga(pool: Pool, transport: MessageTransport): Promise<Contest> {
  const store = postgresStore(pgDriver(pool))
  const outbox = createOutbox(store)
  const relay = createRelay({ outbox, transport })
  const runner = createProcessRunner({
    process: Order,
    store,
    outbox,
    transport,
    concurrency: CONCURRENCY,
    prepare: 'create',
  })
  await relay.start()
  await runner.start()
  await startOthers(transport)
  return {
    start: placing(transport),
    done: () => runner.stats().completed,
    async settle() {
      const { dropped, failed } = runner.stats()
      if (dropped > 0 || failed > 0) throw new Error(`${dropped} messages were dropped, ${failed} orders failed`)
    },
  }
}
