// What a replica promises, on any store and any transport: in memory with a clock that stands still, on SQLite, and on real servers.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isFairleadError } from '../../../src/errors/index.ts'
import { errorOf } from '../kit.ts'
import {
  CHANGES,
  type CustomerOptions,
  type CustomerReplica,
  channelOf,
  customer,
  ended,
  live,
  type Process,
  type ReplicaLab,
  type Row,
  replicaOf,
  type Source,
  sourceOf,
} from './kit.ts'

let count = 0

export function replicaCases(name: string, open: () => Promise<ReplicaLab>): void {
  describe(`replicas ${name}`, { timeout: 60_000 }, () => {
    let lab: ReplicaLab
    beforeAll(async () => {
      lab = await open()
    })
    afterAll(() => lab.close())

    interface Setting {
      readonly table: string
      readonly source: Source
      replica(options?: Partial<CustomerOptions>, process?: Process): Promise<CustomerReplica>
      same(): Promise<void>
      stop(): Promise<void>
    }
    const setUp = async (): Promise<Setting> => {
      const own = `customer "copy" ${++count}${lab.mark}`
      const channel = channelOf(`customers-${count}${lab.mark}`)
      const transport = lab.transport()
      await transport.prepare([{ kind: 'topic', name: channel.name }], 'create')
      await lab.make(own)
      const source = sourceOf(lab, transport, channel)
      const replicas: CustomerReplica[] = []
      return {
        table: own,
        source,
        async replica(options = {}, process) {
          const made = replicaOf(lab, process ?? (await lab.process()), own, lab.transport(), channel, {
            snapshot: source.snapshot(),
            ...options,
          })
          replicas.push(made)
          return made
        },
        // Read once: keys are independent, and what is the same now may be on its way to more.
        async same() {
          let seen: readonly Row[] = []
          const isSame = async (): Promise<boolean> => {
            seen = live(await lab.rows(own))
            return JSON.stringify(seen) === JSON.stringify(source.rows())
          }
          await lab.until(isSame).catch(() => expect(seen).toEqual(source.rows()))
        },
        async stop() {
          await Promise.all(replicas.map((each) => each.close({ withinMs: 1_000 })))
        },
      }
    }
    const over = <T>(work: Promise<T>): Promise<T> => ended(lab, work)
    const ready = async (replica: CustomerReplica): Promise<void> => {
      await over(Promise.all([replica.start(), replica.ready()]))
    }

    it('starts with a snapshot and goes on with messages; what changes while it is read is not lost', async () => {
      const s = await setUp()
      for (const id of ['a', 'b', 'c', 'd', 'e']) await s.source.change(id, customer(`first ${id}`))
      const replica = await s.replica({
        snapshot: s.source.snapshot({
          // Behind what was read, and ahead of it.
          before: async (page) => {
            if (page !== 2) return
            await s.source.change('a', customer('again a'))
            await s.source.remove('b')
            await s.source.change('e', customer('again e'))
            await s.source.change('aa', customer('new aa'))
          },
        }),
      })
      expect((await replica.staleness()).state).toBe('empty')
      await ready(replica)
      await s.same()
      await s.source.change('f', customer('later f', 'BE', null))
      await s.source.remove('c')
      await s.same()
      expect(await replica.read('f')).toMatchObject({
        value: customer('later f', 'BE', null),
        version: 1n,
        from: 'copy',
      })
      expect(await replica.read('c')).toMatchObject({ value: undefined, from: 'copy' })
      expect(await replica.read('nobody')).toMatchObject({ value: undefined, from: 'copy' })
      expect(await replica.staleness()).toMatchObject({ state: 'live', generation: 1, lastError: undefined })
      await s.stop()
    })

    it('an older change changes nothing, a tombstone stays, and the same one twice is the same as once', async () => {
      const s = await setUp()
      const replica = await s.replica()
      await ready(replica)
      await s.source.change('a', customer('one'))
      await s.source.change('a', customer('two'))
      await s.source.change('b', customer('one'))
      await s.source.remove('b')
      await s.same()
      await s.source.tell('a', { version: 1, value: customer('one') })
      await s.source.tell('a', { version: 2, value: customer('another two') })
      await s.source.tell('b', { version: 1, value: customer('one') })
      await s.source.tell('b', { version: 2, value: undefined })
      await s.source.change('last', customer('last'))
      await s.same()
      // Other keys than the last one may be behind it, and what is counted is counted after its commit.
      await lab.until(async () => {
        const { applied, skipped } = await replica.staleness()
        return !lab.tellsSkipped || (applied === 5 && skipped === 4)
      })
      expect(await lab.rows(s.table)).toMatchObject([
        { id: 'a', version: 2, name: 'two' },
        { id: 'b', version: 2, name: null, gone: true },
        { id: 'last' },
      ])
      expect(await replica.staleness()).toMatchObject(lab.tellsSkipped ? { applied: 5, skipped: 4 } : {})
      await s.stop()
    })

    it('a change without a version cannot be guarded: it is a dead letter, and the others go on', async () => {
      const s = await setUp()
      const replica = await s.replica()
      await ready(replica)
      await s.source.tell('a', { version: undefined, value: customer('no version') })
      await s.source.change('b', customer('b'))
      await s.same()
      await lab.until(() => replica.events.some(({ type }) => type === 'message-dead'))
      expect(replica.events.find(({ type }) => type === 'message-dead')).toMatchObject({
        key: 'a',
        error: { code: 'MESSAGE_INVALID' },
      })
      await s.stop()
    })

    it('keeps a part: what is left out is a miss, and leaves when it no longer fits', async () => {
      const s = await setUp()
      await s.source.change('nl', customer('nl', 'NL'))
      await s.source.change('be', customer('be', 'BE'))
      const replica = await s.replica({ keep: ({ country }) => country === 'NL' })
      await ready(replica)
      expect((await lab.rows(s.table)).map(({ id }) => id)).toEqual(['nl'])
      const asked: unknown[] = []
      const otherwise = async (key: unknown) => {
        asked.push(key)
        return customer('called')
      }
      expect(await replica.read('nl', { otherwise })).toMatchObject({ value: customer('nl'), from: 'copy' })
      expect(await replica.read('be', { otherwise })).toEqual({ value: customer('called'), from: 'call', ageMs: 0 })
      const missed = await errorOf(() => replica.read('be'))
      expect(missed).toMatchObject({ code: 'NOT_FOUND', effect: 'none', details: { why: 'missing' } })
      await s.source.change('nl', customer('moved', 'BE'))
      await s.source.change('be', customer('moved', 'NL'))
      await lab.until(async () => live(await lab.rows(s.table)).some(({ id }) => id === 'be'))
      await lab.until(async () => (await lab.rows(s.table)).some(({ id, gone }) => id === 'nl' && gone))
      // Its older self, late.
      await s.source.tell('nl', { version: 1, value: customer('nl', 'NL') })
      await s.source.change('z', customer('z', 'NL'))
      await lab.until(async () => live(await lab.rows(s.table)).some(({ id }) => id === 'z'))
      expect(live(await lab.rows(s.table)).map(({ id }) => id)).toEqual(['be', 'z'])
      expect(asked).toEqual(['be'])
      await s.stop()
    })

    it('is not there before it is complete: reads ask somebody else, or say so', async () => {
      const s = await setUp()
      await s.source.change('a', customer('a'))
      let open: () => void = () => undefined
      const gate = new Promise<void>((resolve) => {
        open = resolve
      })
      const replica = await s.replica({ snapshot: s.source.snapshot({ before: () => gate }) })
      await over(replica.start())
      expect(await errorOf(() => replica.read('a'))).toMatchObject({
        code: 'UNAVAILABLE',
        effect: 'none',
        transient: true,
        details: { why: 'loading' },
      })
      expect(await replica.read('a', { otherwise: async () => customer('called') })).toMatchObject({ from: 'call' })
      expect(await replica.staleness()).toMatchObject({ state: 'loading', behindMs: Infinity })
      expect(await errorOf(() => over(replica.ready({ withinMs: 30 })))).toMatchObject({ code: 'DEADLINE_EXCEEDED' })
      open()
      await over(replica.ready())
      expect(await replica.read('a')).toMatchObject({ from: 'copy' })
      await s.stop()
    })

    it('a snapshot that fails half way begins anew', async () => {
      const s = await setUp()
      for (const id of ['a', 'b', 'c', 'd', 'e']) await s.source.change(id, customer(id))
      const pages: number[] = []
      let failures = 2
      const replica = await s.replica({
        snapshot: s.source.snapshot({
          before: async (page) => {
            pages.push(page)
            if (page !== 2 || failures-- <= 0) return
            await s.source.remove('a')
            throw new Error('the source hiccups')
          },
        }),
      })
      await ready(replica)
      await s.same()
      expect(replica.events.filter(({ type }) => type === 'replica-load-failed')).toHaveLength(2)
      expect(pages.filter((page) => page === 1).length).toBeGreaterThanOrEqual(3)
      await s.stop()
    })

    it('a snapshot with cursors goes on where it was', async () => {
      const s = await setUp()
      for (const id of ['a', 'b', 'c', 'd', 'e']) await s.source.change(id, customer(id))
      const asked: (string | undefined)[] = []
      let fails = true
      const inner = s.source.snapshot({
        cursors: true,
        before: (page) => {
          if (!fails || page !== 3) return
          fails = false
          throw new Error('the source hiccups')
        },
      })
      const replica = await s.replica({
        snapshot: (request) => {
          asked.push(request.after)
          return inner(request)
        },
      })
      await ready(replica)
      await s.same()
      expect(asked.at(-1)).toBe('d')
      await s.stop()
    })

    it('two processes that start at once make one snapshot; both follow', async () => {
      const s = await setUp()
      for (const id of ['a', 'b', 'c']) await s.source.change(id, customer(id))
      let began = 0
      const snapshot = s.source.snapshot({
        before: async (page) => {
          if (page === 1) began++
          else await new Promise<void>((resolve) => lab.clock.setTimer(resolve, 300, undefined))
        },
      })
      // On transports with replay the first page is asked for twice: it hands out no position.
      const first = await s.replica({ snapshot })
      const second = await s.replica({ snapshot })
      await over(Promise.all([first.start(), second.start()]))
      await over(Promise.all([first.ready(), second.ready()]))
      expect(began).toBeLessThanOrEqual(2)
      const loaded = [...first.events, ...second.events].filter(({ type }) => type === 'replica-loaded')
      expect(loaded).toHaveLength(1)
      await s.same()
      for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) await s.source.change(id, customer(`${id} again`))
      await s.same()
      for (const each of [first, second]) expect(await each.read('f')).toMatchObject({ value: customer('f again') })
      await first.close()
      await s.source.change('g', customer('g'))
      await s.same()
      await s.stop()
    })

    it('a table that is not empty at first is replaced: nobody knows what is in it', async () => {
      const s = await setUp()
      await s.source.change('a', customer('a'))
      const process = await lab.process()
      const stale = { key: 'long gone', version: 9n, value: customer('stale') }
      await process.store.transaction((tx) =>
        process.table(s.table).write(tx, { generation: 0, beside: false }, [stale], 0),
      )
      const replica = await s.replica()
      await ready(replica)
      await s.same()
      await s.stop()
    })

    it('is rebuilt beside the old one, which answers meanwhile, and takes its place; the old group is given up', async () => {
      const s = await setUp()
      for (const id of ['a', 'b', 'c']) await s.source.change(id, customer(id))
      let open: () => void = () => undefined
      let gate: Promise<void> | undefined
      const given: string[] = []
      const replica = await s.replica({
        snapshot: s.source.snapshot({ before: () => gate }),
        group: `billing${lab.mark}${count}`,
        giveUp: async (group) => void given.push(group),
      })
      await ready(replica)
      await s.same()
      // What was lost: a change that was never told, and an entry that should not be there.
      s.source.all.set('b', { version: 2, value: customer('never told') })
      const process = await lab.process()
      const stray = { key: 'stray', version: 1n, value: customer('stray') }
      await process.store.transaction((tx) =>
        process.table(s.table).write(tx, { generation: 1, beside: false }, [stray], 0),
      )
      gate = new Promise((resolve) => {
        open = resolve
      })
      const rebuilt = replica.rebuild()
      await lab.until(async () => (await replica.staleness()).state === 'rebuilding')
      await s.source.change('d', customer('meanwhile'))
      await lab.until(async () => (await replica.read('d')).value !== undefined)
      expect(await replica.read('b')).toMatchObject({ value: customer('b'), from: 'copy' })
      await s.source.remove('a')
      await lab.until(async () => (await replica.read('a')).value === undefined)
      open()
      await over(rebuilt)
      await s.same()
      expect(await replica.read('b')).toMatchObject({ value: customer('never told') })
      await lab.until(() => given.length > 0)
      expect(given).toEqual([`billing${lab.mark}${count}`])
      for (const id of ['a', 'b', 'e']) await s.source.change(id, customer(`${id} after`))
      await s.same()
      expect(await replica.staleness()).toMatchObject({ state: 'live', generation: 2 })
      // And once more: names of tables and indexes do not run out.
      await over(replica.rebuild())
      await s.source.change('f', customer('f'))
      await s.same()
      await lab.until(() => given.length > 1)
      expect(given).toEqual([`billing${lab.mark}${count}`, `billing${lab.mark}${count}.g2`])
      await s.stop()
    })

    it('who reads while the tables change places sees all entries, always', async () => {
      const s = await setUp()
      const ids = Array.from({ length: 20 }, (_, at) => `id-${String(at).padStart(2, '0')}`)
      for (const id of ids) await s.source.change(id, customer(id))
      const replica = await s.replica({ snapshot: s.source.snapshot({ pageSize: 5 }) })
      const other = await s.replica()
      await ready(replica)
      await ready(other)
      let done = false
      let least = Infinity
      const rebuilt = replica.rebuild().finally(() => {
        done = true
      })
      let turn = 0
      await lab.until(async () => {
        least = Math.min(least, live(await lab.rows(s.table)).length)
        expect((await other.read(ids[turn++ % ids.length] as string)).value).toBeDefined()
        if (turn < 10) await s.source.change(ids[turn] as string, customer(`turn ${turn}`))
        return done
      })
      await rebuilt
      expect(least).toBe(20)
      await s.same()
      // The other process goes by the new one too.
      await lab.until(async () => (await other.staleness()).generation === 2)
      await s.source.change('after', customer('after'))
      await s.same()
      await s.stop()
    })

    it('forgets tombstones after their time', async () => {
      const s = await setUp()
      const replica = await s.replica({ tombstonesMs: 300, purgeEveryMs: 40 })
      await ready(replica)
      await s.source.change('a', customer('a'))
      await s.source.change('b', customer('b'))
      await s.source.remove('a')
      // Or all of it might not have come yet.
      await lab.until(async () => (await replica.staleness()).applied >= 3)
      await s.same()
      await lab.until(async () => (await lab.rows(s.table)).every(({ gone }) => !gone))
      expect((await lab.rows(s.table)).map(({ id }) => id)).toEqual(['b'])
      await s.stop()
    })

    it('a process that ends while it loads leaves the rest to another one', async () => {
      const s = await setUp()
      for (const id of ['a', 'b', 'c', 'd', 'e']) await s.source.change(id, customer(id))
      let stuck = 0
      const first = await s.replica({
        snapshot: s.source.snapshot({ before: (page) => (page === 2 ? new Promise(() => void stuck++) : undefined) }),
      })
      await over(first.start())
      await lab.until(() => stuck > 0)
      const second = await s.replica()
      await over(second.start())
      await over(first.close())
      const shut = await errorOf(() => first.ready())
      expect(isFairleadError(shut, 'SHUTDOWN')).toBe(true)
      await s.source.remove('a')
      await over(second.ready())
      await s.same()
      await s.stop()
    })

    it('begins at the position that was handed out with the snapshot', async () => {
      const s = await setUp()
      if (!lab.transport().capabilities.replay) return
      for (const id of ['a', 'b']) await s.source.change(id, customer(id))
      await lab.pass(50)
      // A dump of last night: all that came after it is in messages only.
      const dump = new Map(s.source.all)
      const time = lab.clock.wallNow()
      await lab.pass(50)
      await s.source.change('a', customer('since'))
      await s.source.remove('b')
      await s.source.change('c', customer('new'))
      const replica = await s.replica({
        async *snapshot() {
          yield {
            position: { time },
            entries: [...dump].map(([key, { version, value }]) => ({ key, version, value: value as never })),
          }
        },
      })
      await ready(replica)
      await s.same()
      await s.stop()
    })

    it.each(['no position', 'a position'])(
      'what changes after it was read and before anybody listens is not lost: %s',
      async (how) => {
        const s = await setUp()
        for (const id of ['a', 'b', 'c']) await s.source.change(id, customer(id))
        await lab.pass(50)
        let times = 0
        const replica = await s.replica({
          snapshot: s.source.snapshot({
            position: () => (how === 'a position' ? { time: lab.clock.wallNow() } : undefined),
            read: async (page) => {
              if (page !== 1 || times++ > 1) return
              await s.source.change('a', customer(`a ${times}`))
              await s.source.remove('b')
              await lab.pass(50)
            },
          }),
        })
        await ready(replica)
        await s.same()
        await s.stop()
      },
    )

    it('a rebuild takes the place of the old one when it has caught up, and not before: nobody goes back in time', async () => {
      const s = await setUp()
      if (!lab.transport().capabilities.replay) return
      await s.source.change('a', customer('old'))
      await lab.pass(50)
      const dump = new Map(s.source.all)
      const time = lab.clock.wallNow()
      await lab.pass(50)
      let rebuilding = false
      let open: () => void = () => undefined
      let blocked = 0
      const gate = new Promise<void>((resolve) => {
        open = resolve
      })
      const { 'customer.changed': changed, ...others } = CHANGES
      const replica = await s.replica({
        changes: {
          ...others,
          'customer.changed': async (message, context) => {
            if (rebuilding) {
              blocked++
              await gate
            }
            return changed?.(message, context)
          },
        },
        async *snapshot() {
          const entries = [...dump].map(([key, { version, value }]) => ({ key, version, value: value as never }))
          yield { position: { time }, entries }
        },
      })
      await ready(replica)
      await s.source.change('a', customer('new'))
      await s.same()
      rebuilding = true
      const rebuilt = replica.rebuild()
      await lab.until(() => blocked > 0)
      await lab.pass(500)
      expect(await replica.read('a')).toMatchObject({ value: customer('new') })
      expect((await replica.staleness()).state).toBe('rebuilding')
      open()
      await over(rebuilt)
      expect(await replica.read('a')).toMatchObject({ value: customer('new') })
      await s.stop()
    })
  })
}
