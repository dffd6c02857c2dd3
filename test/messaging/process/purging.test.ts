// Rows of processes that are over: kept for ever, or for as long as somebody said.
import { expect, test } from 'vitest'
import { memoryStore } from '../../../src/adapters/memory/index.ts'
import { createError } from '../../../src/errors/classes.ts'
import { createOutbox } from '../../../src/messaging/index.ts'
import { createProcessRunner, defineProcess, type ProcessRunnerOptions } from '../../../src/messaging/process/index.ts'
import { type MemoryLab, memoryLab } from '../memory-lab.ts'
import { channelsOf, Order, othersOf, serviceOf } from './order.ts'

const RETENTION_MS = 60_000

// Over at once, unless it costs something.
const processOf = (name: string, on: ReturnType<typeof channelsOf>) =>
  defineProcess(name, { state: Order }).starts(on.Orders, 'order.created', {
    id: ({ data }) => data.orderId,
    state: ({ data }) => ({ ...data, status: 'PENDING' as const }),
    sends: [],
    handle: ({ data }, process) => {
      if (data.cents === 0) process.complete()
    },
  })

/** A store that answers otherwise when it is told to purge, and how often that was. */
const purgingOf = (lab: MemoryLab, answer?: (olderThanMs: number, limit: number) => number) => {
  const store = memoryStore({ database: lab.database, inboxRetentionMs: RETENTION_MS })
  const asked: [kind: string, olderThanMs: number, limit: number][] = []
  const states = {
    ...store.states,
    async purge(kind: string, olderThanMs: number, limit: number) {
      asked.push([kind, olderThanMs, limit])
      return answer === undefined ? store.states.purge(kind, olderThanMs, limit) : answer(olderThanMs, limit)
    },
  }
  return { store: { ...store, states }, asked }
}

const setUp = async (
  options: Partial<ProcessRunnerOptions<any>>,
  answer?: (olderThanMs: number, limit: number) => number,
) => {
  const lab = memoryLab()
  const on = channelsOf('purging')
  const others = await othersOf(lab, on)
  const { store, asked } = purgingOf(lab, answer)
  const service = await serviceOf(
    lab,
    processOf('purging', on),
    {
      handlerTimeoutMs: 1_000,
      retries: { immediate: 0, delayedMs: [] },
      scanEveryMs: 5_000,
      random: () => 0.5,
      ...options,
    },
    store,
  )
  const stop = async (): Promise<void> => {
    await service.stop()
    await others.stop()
  }
  const of = (type: string) => service.events.filter((event) => event.type === type)
  return { lab, others, service, asked, of, stop }
}

test('one that is over is deleted when it was kept for long enough; one that goes on is not', async () => {
  const { lab, others, service, of, stop } = await setUp({ keepDoneMs: RETENTION_MS, purgeEveryMs: 10_000 })
  await others.order('over', 0)
  await others.order('open', 900)
  await lab.until(async () => (await service.runner.list({ status: 'all' })).length === 2)
  await lab.pass(50_000)
  expect(await service.runner.show('over')).toMatchObject({ status: 'completed' })
  expect([of('process-purged'), service.runner.stats().purged]).toEqual([[], 0])
  await lab.pass(25_000)
  expect(await service.runner.show('over')).toBeUndefined()
  expect(await service.runner.show('open')).toMatchObject({ status: 'running' })
  expect(of('process-purged')).toEqual([{ type: 'process-purged', process: 'purging', count: 1 }])
  expect(service.runner.stats()).toMatchObject({ started: 2, completed: 1, purged: 1 })
  await stop()
})

test('nothing is deleted where nobody said for how long', async () => {
  const { lab, others, service, asked, stop } = await setUp({ purgeEveryMs: 10_000 })
  await others.order('over', 0)
  await lab.pass(RETENTION_MS * 3)
  expect(await service.runner.show('over')).toMatchObject({ status: 'completed' })
  expect(asked).toEqual([])
  await stop()
})

test('in batches, a bounded number of them in a turn, and not after the runner is closed', async () => {
  const left = [1_000, 1_000, 7]
  const { lab, service, asked, of, stop } = await setUp(
    { keepDoneMs: 90_000, purgeEveryMs: 10_000 },
    () => left.shift() ?? 0,
  )
  await lab.pass(9_999)
  expect(asked).toEqual([])
  await lab.pass(1)
  expect(asked).toEqual(new Array(3).fill(['process:purging', 90_000, 1_000]))
  expect(of('process-purged')).toMatchObject([{ count: 2_007 }])
  left.push(...new Array<number>(30).fill(1_000))
  await lab.pass(10_000)
  expect(asked).toHaveLength(23)
  await lab.pass(1_000)
  expect(asked).toHaveLength(34)
  await service.runner.close()
  await lab.pass(60_000)
  expect(asked).toHaveLength(34)
  await stop()
})

test('a failure is an event, and it is tried again; also where something else looks after the inbox', async () => {
  let tries = 0
  const { lab, of, stop } = await setUp({ keepDoneMs: RETENTION_MS, purgeEveryMs: false }, () => {
    if (++tries === 1) throw createError({ code: 'CONNECTION_REFUSED' })
    return 3
  })
  await lab.pass(600_000)
  expect(of('process-purge-failed')).toMatchObject([{ process: 'purging', error: { code: 'CONNECTION_REFUSED' } }])
  expect(of('process-purged')).toEqual([])
  await lab.pass(600_000)
  expect(of('process-purged')).toMatchObject([{ count: 3 }])
  await stop()
})

test('a time that is shorter than the inbox remembers messages is refused, and it is said why', () => {
  const lab = memoryLab()
  const { store } = purgingOf(lab)
  const runner = (keepDoneMs: number, given: object = store) =>
    createProcessRunner({
      process: processOf('refusing', channelsOf('refusing')),
      store: given as typeof store,
      outbox: createOutbox(store, { clock: lab.clock }),
      transport: lab.transport(),
      clock: lab.clock,
      handlerTimeoutMs: 1_000,
      retries: { immediate: 0, delayedMs: [] },
      redriveWithinMs: 0,
      keepDoneMs,
    })
  const fault = (work: () => unknown): unknown => {
    try {
      return work()
    } catch (error) {
      return error
    }
  }
  for (const keepDoneMs of [0, RETENTION_MS - 1])
    expect(fault(() => runner(keepDoneMs))).toMatchObject({
      code: 'INVALID_OPTIONS',
      message: expect.stringMatching(/keepDoneMs is \d+: .*begin the process anew.* at least the 60000 ms/),
    })
  for (const keepDoneMs of [-1, Number.NaN, Infinity, '30d' as never])
    expect(
      fault(() => runner(keepDoneMs)),
      String(keepDoneMs),
    ).toMatchObject({ code: 'INVALID_OPTIONS' })
  const { purge: _, ...rest } = store.states
  expect(fault(() => runner(RETENTION_MS, { ...store, states: rest }))).toMatchObject({
    code: 'INVALID_OPTIONS',
    message: expect.stringContaining('cannot be purged'),
  })
  expect(runner(RETENTION_MS).name).toBe('refusing')
})
