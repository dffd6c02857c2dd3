// A process that ends at any moment of a first load or of a rebuild leaves it so that another one goes on: at every single operation of its store.
import { describe, expect, it } from 'vitest'
import type { MessageTransport, ReceiveFrom, Receiver } from '../../../src/core/contracts/transport.ts'
import { channelOf, customer, live, replicaOf, type Source, sourceOf } from './kit.ts'
import { type MemoryReplicaLab, memoryLab } from './memory-lab.ts'

const fill = async (source: Source): Promise<void> => {
  for (const id of ['a', 'b', 'c', 'd', 'e']) await source.change(id, customer(id))
}

// Its store is gone, and its consumer is not yet: no message may be given up for that.
const PATIENT = { immediate: 0, delayedMs: new Array<number>(15).fill(100) }

/** Counts down to the end of a process. Operations of other processes do not count. */
const mortal = (lab: MemoryReplicaLab) => {
  let left = Infinity
  let done = 0
  const process = lab.processWith(() => {
    done++
    if (--left < 0) process.store.crash()
    return undefined
  })
  return {
    process,
    dieAfter: (operations: number) => {
      left = operations
      done = 0
    },
    done: () => done,
    dead: () => left < 0,
  }
}

// Returns whether it lived.
const firstLoad = async (operations: number): Promise<boolean> => {
  const lab = memoryLab(50)
  const channel = channelOf('customers')
  const source = sourceOf(lab, lab.transport(), channel)
  await fill(source)
  const one = mortal(lab)
  const cursors = operations % 2 === 0
  const snapshot = source.snapshot({
    cursors,
    before: async (page) => {
      if (page === 2) await source.remove(cursors ? 'a' : 'e')
      if (page === 3) await source.change('b', customer('b again'))
    },
  })
  const options = { snapshot, pageTimeoutMs: 500, lookEveryMs: 500, retries: PATIENT }
  const first = replicaOf(lab, one.process, 'copy', lab.transport(), channel, options)
  one.dieAfter(operations)
  first.start().catch(() => undefined)
  await lab.pass(500)
  const lived = !one.dead()
  // Its consumers end with it.
  await Promise.all([first.close({ withinMs: 100 }), lab.pass(500)])
  const second = replicaOf(lab, await lab.process(), 'copy', lab.transport(), channel, options)
  second.start().catch(() => undefined)
  await source.change('c', customer('c again'))
  await source.remove('d')
  await lab.until(async () => JSON.stringify(live(await lab.rows('copy'))) === JSON.stringify(source.rows()))
  await lab.until(async () => (await second.staleness()).state === 'live')
  expect(live(await lab.rows('copy'))).toEqual(source.rows())
  await Promise.all([second.close({ withinMs: 100 }), lab.pass(500)])
  return lived
}

const rebuild = async (operations: number): Promise<boolean> => {
  const lab = memoryLab(50)
  const channel = channelOf('customers')
  const source = sourceOf(lab, lab.transport(), channel)
  await fill(source)
  const one = mortal(lab)
  const options = { snapshot: source.snapshot(), pageTimeoutMs: 500, lookEveryMs: 500, retries: PATIENT }
  const first = replicaOf(lab, one.process, 'copy', lab.transport(), channel, options)
  await first.start()
  await lab.until(async () => (await first.staleness()).state === 'live')
  // Never told: only a new snapshot shows it.
  source.all.set('b', { version: 2, value: customer('never told') })
  source.all.set('c', { version: 2, value: undefined })
  one.dieAfter(operations)
  first.rebuild().catch(() => undefined)
  let least = Infinity
  for (let turn = 0; turn < 25; turn++) {
    await lab.pass(20)
    least = Math.min(least, live(await lab.rows('copy')).length)
  }
  const lived = !one.dead()
  await Promise.all([first.close({ withinMs: 100 }), lab.pass(500)])
  const second = replicaOf(lab, await lab.process(), 'copy', lab.transport(), channel, options)
  await second.start()
  await source.change('d', customer('d again'))
  await lab.until(async () => (await second.staleness()).state === 'live')
  if (!live(await lab.rows('copy')).some(({ name }) => name === 'never told')) second.rebuild().catch(() => undefined)
  await lab.until(async () => JSON.stringify(live(await lab.rows('copy'))) === JSON.stringify(source.rows()))
  least = Math.min(least, live(await lab.rows('copy')).length)
  expect(least).toBeGreaterThanOrEqual(4)
  await lab.until(async () => (await second.staleness()).state === 'live')
  await Promise.all([second.close({ withinMs: 100 }), lab.pass(500)])
  return lived
}

describe('a crash', { timeout: 60_000 }, () => {
  it.each([
    ['of a first load', firstLoad],
    ['of a rebuild', rebuild],
  ])('at every operation %s: another process goes on, and nothing is lost', async (_, run) => {
    let operations = 0
    while (!(await run(operations))) operations++
    expect(operations).toBeGreaterThan(15)
  })

  it('a loader that was away for too long writes nothing any more: what it read may be gone', async () => {
    const lab = memoryLab()
    const channel = channelOf('customers')
    const source = sourceOf(lab, lab.transport(), channel)
    await fill(source)
    let frozen: Promise<void> | undefined
    let thaw: () => void = () => undefined
    // It takes no messages either.
    const transport = lab.transport()
    const deaf: MessageTransport = Object.assign(Object.create(transport) as MessageTransport, {
      receive: async (from: ReceiveFrom) =>
        Object.assign(Object.create(await transport.receive(from, () => undefined)) as Receiver, {
          request: () => undefined,
        }),
    })
    const position = () => ({ time: lab.clock.wallNow() })
    const slow = replicaOf(
      lab,
      lab.processWith(() => frozen),
      'copy',
      deaf,
      channel,
      {
        pageTimeoutMs: 1_000,
        async *snapshot({ after, signal }) {
          for await (const page of source.snapshot({ position })({ after, signal })) {
            // It has read entries, and stands still before it writes them.
            frozen ??= new Promise((resolve) => {
              thaw = resolve
            })
            yield page
          }
        },
      },
    )
    await slow.start()
    await lab.until(() => frozen !== undefined)
    await lab.pass(2_500)
    await source.remove('a')
    let open: () => void = () => undefined
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    let pages = 0
    const quick = replicaOf(lab, await lab.process(), 'copy', lab.transport(), channel, {
      // Still in the middle of it when the slow one goes on.
      snapshot: source.snapshot({ before: (page) => (page === 2 && ++pages > 0 ? gate : undefined) }),
      tombstonesMs: 1,
      purgeEveryMs: 20,
    })
    await quick.start()
    await lab.until(async () => pages > 0 && (await lab.rows('copy')).some(({ id }) => id === 'b'))
    await lab.until(async () => (await lab.rows('copy')).every(({ gone }) => !gone))
    thaw()
    await lab.pass(1_000)
    open()
    await lab.until(async () => (await quick.staleness()).state === 'live')
    expect(live(await lab.rows('copy'))).toEqual(source.rows())
    await lab.until(async () => (await slow.staleness()).state === 'live')
    await Promise.all([slow.close({ withinMs: 100 }), quick.close({ withinMs: 100 }), lab.pass(500)])
  })
})
