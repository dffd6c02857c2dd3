// What a replica makes of a broker that no longer keeps what it needs, of a topic that never rests, of groups that are over, and of work that never ends.
import { describe, expect, it } from 'vitest'
import { memoryBroker, memoryTransport } from '../../../src/adapters/memory/index.ts'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import { createError } from '../../../src/errors/classes.ts'
import { errorOf } from '../kit.ts'
import { CHANGES, type CustomerOptions, channelOf, customer, ended, live, replicaOf, sourceOf } from './kit.ts'
import { memoryLab } from './memory-lab.ts'

const channel = channelOf('customers')

const over = (transport: MessageTransport, own: Partial<MessageTransport>): MessageTransport =>
  Object.assign(Object.create(transport) as MessageTransport, own)

const setUp = () => {
  const lab = memoryLab()
  const source = sourceOf(lab, lab.transport(), channel)
  const made = (options: Partial<CustomerOptions> = {}, process = lab.processWith(() => undefined)) =>
    replicaOf(lab, process, 'copy', options.transport ?? lab.transport(), channel, {
      snapshot: source.snapshot(),
      ...options,
    })
  return { lab, source, made, over: <T>(work: Promise<T>) => ended(lab, work) }
}

describe('what the broker no longer keeps', () => {
  it('a snapshot from before that leaves a hole: it is refused until there is a newer one', async () => {
    const { lab, over } = setUp()
    const broker = memoryBroker({ clock: lab.clock, retainMs: 10_000 })
    const transport = memoryTransport({ broker })
    const source = sourceOf(lab, transport, channel)
    await source.change('a', customer('a'))
    const dump = new Map(source.all)
    let time = lab.clock.wallNow()
    await lab.pass(1_000)
    await source.change('a', customer('a again'))
    await lab.pass(20_000)
    await source.change('b', customer('b'))
    const copy = replicaOf(lab, await lab.process(), 'copy', transport, channel, {
      async *snapshot() {
        const entries = [...dump].map(([key, { version, value }]) => ({ key, version, value: value as never }))
        yield { position: { time }, entries }
      },
    })
    await over(copy.start())
    const late = await errorOf(() => over(copy.ready({ withinMs: 5_000 })))
    expect(late).toMatchObject({ code: 'DEADLINE_EXCEEDED', cause: { code: 'POSITION_EXPIRED' } })
    expect(await errorOf(() => copy.read('a'))).toMatchObject({ code: 'UNAVAILABLE' })
    for (const [id, held] of source.all) dump.set(id, held)
    time = lab.clock.wallNow()
    await over(copy.ready())
    expect(await copy.read('a')).toMatchObject({ value: customer('a again') })
    expect((await copy.staleness()).lastError).toBeUndefined()
    await copy.close()
  })

  it.each(['at the next start', 'while it runs', 'while the next one is loaded'])(
    'is in a new snapshot, %s',
    async (when) => {
      const { lab, source, made, over: ends } = setUp()
      await source.change('a', customer('a'))
      const first = made()
      await ends(first.ready())
      if (when === 'at the next start') await first.close()
      source.all.set('a', { version: 9, value: customer('never told') })
      const broken = when === 'while the next one is loaded' ? '.g2' : 'replica.copy'
      let times = 0
      const transport = over(lab.transport(), {
        receive: async (from, sink) => {
          const isBroken = from.group?.endsWith(broken) === true
          if (isBroken && when === 'at the next start') throw createError({ code: 'POSITION_EXPIRED' })
          const receiver = await lab.transport().receive(from, sink)
          if (!isBroken) return receiver
          times++
          const gone = createError({ code: 'POSITION_EXPIRED' })
          return Object.assign(Object.create(receiver) as typeof receiver, {
            ended: lab.pass(0).then(() => Promise.reject(gone)),
          })
        },
      })
      const again = made({ transport })
      await ends(again.start())
      if (when === 'while the next one is loaded') again.rebuild().catch(() => undefined)
      const wanted = when === 'while the next one is loaded' ? 3 : 2
      await lab.until(async () => (await again.staleness()).generation === wanted)
      expect(await again.read('a')).toMatchObject({ value: customer('never told') })
      expect(times > 0).toBe(when !== 'at the next start')
      await first.close()
      await again.close()
    },
  )
})

describe('catching up', () => {
  it('ends on a topic that never rests: what was published after the snapshot was in is no part of it', async () => {
    const { lab, source, made, over: ends } = setUp()
    await source.change('a', customer('a'))
    const transport = over(lab.transport(), { inspect: async () => ({ waiting: 5_000, oldestMs: 900 }) })
    const copy = made({ transport })
    const began = lab.clock.now()
    await ends(copy.ready({ withinMs: 30_000 }))
    expect(lab.clock.now() - began).toBeLessThan(5_000)
    await copy.close()
  })

  it('does not end while older messages wait, however few and young they are', async () => {
    const { lab, source, made } = setUp()
    await source.change('a', customer('a'))
    const at = lab.clock.wallNow()
    let waits = true
    const transport = over(lab.transport(), {
      inspect: async () => (waits ? { waiting: 1, oldestMs: lab.clock.wallNow() - at } : { waiting: 0 }),
    })
    const copy = made({ transport })
    await copy.start()
    await lab.pass(5_000)
    expect((await copy.staleness()).state).toBe('loading')
    waits = false
    await lab.until(async () => (await copy.staleness()).state === 'live')
    await copy.close()
  })

  it('goes by the messages themselves where the broker cannot say what waits', async () => {
    const { lab, source, made, over: ends } = setUp()
    await source.change('a', customer('a'))
    let blocked = 0
    let open: () => void = () => undefined
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const copy = made({
      transport: over(lab.transport(), { inspect: undefined as never }),
      changes: {
        ...CHANGES,
        'customer.changed': async (message, context) => {
          blocked++
          await gate
          return CHANGES['customer.changed']?.(message, context)
        },
      },
      snapshot: source.snapshot({ read: async (page) => (page === 1 ? source.change('b', customer('b')) : undefined) }),
    })
    const ready = copy.ready()
    await lab.until(() => blocked > 0)
    await lab.pass(10_000)
    expect((await copy.staleness()).state).toBe('loading')
    open()
    await ends(ready)
    await copy.close()
  })
})

describe('a group that is over', () => {
  it('is given up only when the others have had time to find out; a giveUp that never ends holds nothing up', async () => {
    const { lab, source, made, over: ends } = setUp()
    await source.change('a', customer('a'))
    const given: { group: string; at: number }[] = []
    const giveUp = (group: string): Promise<void> => {
      given.push({ group, at: lab.clock.now() })
      return given.length === 1 ? new Promise(() => undefined) : Promise.resolve()
    }
    const one = made({ giveUp, lookEveryMs: 5_000, pageTimeoutMs: 1_000 })
    await ends(one.ready())
    await ends(one.rebuild())
    const swapped = lab.clock.now()
    await source.change('a', customer('a again'))
    await lab.until(() => given.length > 0)
    expect((given[0]?.at ?? 0) - swapped).toBeGreaterThanOrEqual(14_000)
    await lab.until(async () => (await one.staleness()).lastError !== undefined)
    expect(await one.staleness()).toMatchObject({ lastError: { code: 'DEADLINE_EXCEEDED' } })
    await lab.until(() => one.events.some(({ type }) => type === 'replica-group-over'))
    expect(given.map(({ group }) => group)).toEqual(['replica.copy', 'replica.copy'])
    // What went well since is no error any more.
    expect((await one.staleness()).lastError).toBeUndefined()
    await one.close()
  })
})

describe('an end', () => {
  it('comes in time although the store never answers again', async () => {
    const { lab, source, made, over: ends } = setUp()
    await source.change('a', customer('a'))
    let hangs = false
    const process = lab.processWith(() => (hangs ? new Promise(() => undefined) : undefined))
    const copy = made({}, process)
    await ends(copy.ready())
    hangs = true
    await lab.pass(200)
    const began = lab.clock.now()
    await ends(copy.close({ withinMs: 1_000 }))
    expect(lab.clock.now() - began).toBeLessThan(5_000)
  })

  it('of a look comes too: a store that hung once is asked again', async () => {
    const { lab, source, made, over: ends } = setUp()
    await source.change('a', customer('a'))
    let hangs = false
    const process = lab.processWith((operation) =>
      hangs && operation === 'begin' ? new Promise(() => undefined) : undefined,
    )
    const copy = made({ pageTimeoutMs: 1_000 }, process)
    await ends(copy.ready())
    hangs = true
    await lab.pass(3_000)
    expect((await copy.staleness()).lastError).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    hangs = false
    await ends(copy.rebuild())
    expect(await copy.staleness()).toMatchObject({ generation: 2, lastError: undefined })
    await copy.close()
  })
})

describe('a write of old code', () => {
  it('that has begun before newer code has put its own copy there is undone', async () => {
    const { lab, source, made, over: ends } = setUp()
    await source.change('a', customer('a'))
    const process = lab.processWith(() => undefined)
    let begun = 0
    let go: () => void = () => undefined
    const gate = new Promise<void>((resolve) => {
      go = resolve
    })
    const inner = process.table('copy')
    const table = Object.assign(Object.create(inner) as typeof inner, {
      async write(...given: Parameters<typeof inner.write>) {
        if (given[2].some(({ key }) => key === 'late') && begun++ === 0) await gate
        return inner.write(...given)
      },
    })
    const old = made({ revision: 1, table, lookEveryMs: 600_000 }, process)
    await ends(old.ready())
    await source.change('late', customer('by old code'))
    await lab.until(() => begun > 0)
    const newer = made({
      revision: 2,
      async *snapshot() {
        yield { entries: [{ key: 'a', version: 1, value: customer('a') }] }
      },
    })
    await ends(newer.ready())
    go()
    await lab.pass(1_000)
    expect((await lab.rows('copy')).map(({ id }) => id)).toEqual(['a'])
    expect(old.events.filter(({ type }) => type === 'message-dead')).toEqual([])
    await old.close()
    await newer.close()
  })
})

describe('small things', () => {
  it('ready starts what nobody has started, and says why that failed', async () => {
    const { lab, source, made, over: ends } = setUp()
    await source.change('a', customer('a'))
    const copy = made()
    await ends(copy.ready())
    expect(await copy.read('a')).toMatchObject({ from: 'copy' })
    await copy.close()
    const process = lab.processWith(() => Promise.reject(createError({ code: 'FORBIDDEN' })))
    const never = made({}, process)
    expect(await errorOf(() => ends(never.ready()))).toMatchObject({ code: 'FORBIDDEN' })
    await ends(never.close({ withinMs: 100 }))
  })

  it.each([undefined, null])(
    'an entry of a snapshot without a value (%s) is refused: it would be gone',
    async (value) => {
      const { source, made, over: ends } = setUp()
      await source.change('a', customer('a'))
      const copy = made({
        async *snapshot() {
          yield { entries: [{ key: 'a', version: 1, value: value as never }] }
        },
      })
      expect(await errorOf(() => ends(copy.ready({ withinMs: 500 })))).toMatchObject({
        code: 'DEADLINE_EXCEEDED',
        cause: { code: 'INVALID_INPUT' },
      })
      await copy.close()
    },
  )

  it('a swap in memory that comes late brings nothing old back', async () => {
    const { lab } = setUp()
    const { store, table: of } = await lab.process()
    const table = of('copy')
    const entry = (name: string) => ({ key: 'a', version: 1n, value: customer(name) })
    for (const generation of [2, 3]) {
      await store.transaction((tx) => table.write(tx, { generation, beside: true }, [entry(`${generation}`)], 0))
      await table.swap(generation)
    }
    await table.swap(2)
    expect(await table.read(undefined, 'a')).toMatchObject({ value: { name: '3' } })
    expect(live(await lab.rows('copy'))).toHaveLength(1)
  })
})
