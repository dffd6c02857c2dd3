// Old and new code side by side, as during a rolling deploy: what one fills the other neither writes nor reads. On any store.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ReplicaTable } from '../../../src/messaging/replica/index.ts'
import { errorOf } from '../kit.ts'
import {
  CHANGES,
  type Customer,
  type CustomerOptions,
  type CustomerReplica,
  channelOf,
  customer,
  ended,
  live,
  type Process,
  type ReplicaLab,
  replicaOf,
  sourceOf,
} from './kit.ts'

let count = 0

/** What the new code makes of a customer. */
const renamed = (value: Customer): Customer => ({ ...value, name: `new ${value.name}` })

export function revisionCases(name: string, open: () => Promise<ReplicaLab>): void {
  describe(`revisions ${name}`, { timeout: 60_000 }, () => {
    let lab: ReplicaLab
    beforeAll(async () => {
      lab = await open()
    })
    afterAll(() => lab.close())
    const over = <T>(work: Promise<T>): Promise<T> => ended(lab, work)

    const setUp = async () => {
      const table = `revised ${++count}${lab.mark}`
      const channel = channelOf(`revised-${count}${lab.mark}`)
      const transport = lab.transport()
      await transport.prepare([{ kind: 'topic', name: channel.name }], 'create')
      await lab.make(table)
      const source = sourceOf(lab, transport, channel)
      const all: CustomerReplica[] = []
      const add = async (options: Partial<CustomerOptions>, process?: Process): Promise<CustomerReplica> => {
        const made = replicaOf(lab, process ?? (await lab.process()), table, lab.transport(), channel, {
          snapshot: source.snapshot(),
          ...options,
        })
        all.push(made)
        return made
      }
      return {
        table,
        source,
        old: (options: Partial<CustomerOptions> = {}, process?: Process) => add(options, process),
        newer: (
          revision: string | number,
          { snapshot = source.snapshot(), ...options }: Partial<CustomerOptions> = {},
        ) =>
          add({
            revision,
            changes: {
              ...CHANGES,
              'customer.changed': async (message, context) => {
                const change = (await CHANGES['customer.changed']?.(message, context)) as never as {
                  readonly value: Customer
                }
                return { ...(change as never as object), value: renamed(change.value) } as never
              },
            },
            async *snapshot(request) {
              for await (const { entries, ...page } of snapshot(request))
                yield { ...page, entries: entries.map((entry) => ({ ...entry, value: renamed(entry.value) })) }
            },
            ...options,
          }),
        names: async () => live(await lab.rows(table)).map((row) => row.name),
        wanted: () => source.rows().map((row) => `new ${row.name}`),
        stop: () => Promise.all(all.map((each) => each.close({ withinMs: 1_000 }))),
      }
    }

    it.each([
      ['none', undefined, 1],
      ['an older one', 'v9', 'v10'],
    ])(
      'old code (%s) goes on with its own until the new one is complete, and leaves that alone',
      async (_, was, is) => {
        const s = await setUp()
        for (const id of ['a', 'b', 'c']) await s.source.change(id, customer(id))
        const old = await s.old({ revision: was })
        await over(old.start())
        await over(old.ready())
        let go: () => void = () => undefined
        const gate = new Promise<void>((resolve) => {
          go = resolve
        })
        const newer = await s.newer(is, {
          snapshot: s.source.snapshot({ before: (page) => (page === 2 ? gate : undefined) }),
        })
        await over(newer.start())
        await lab.until(async () => (await old.staleness()).state === 'rebuilding')
        await s.source.change('a', customer('a again'))
        await lab.until(async () => (await old.read('a')).value?.name === 'a again')
        // What is there is not what it would have made of it.
        expect(await errorOf(() => newer.read('a'))).toMatchObject({ code: 'UNAVAILABLE', details: { why: 'loading' } })
        go()
        let turn = 0
        const busy = lab.until(async () => {
          // Messages on their way to the old code while the tables change places.
          await s.source.change(`m${turn % 7}`, customer(`m${turn++}`))
          return (await newer.staleness()).state === 'live'
        })
        await over(newer.ready())
        await busy
        for (let more = 0; more < 20; more++) await s.source.change(`m${more % 7}`, customer(`after ${more}`))
        await lab.until(async () => JSON.stringify(await s.names()) === JSON.stringify(s.wanted()))
        await lab.until(async () => (await old.staleness()).state === 'superseded')
        await s.source.change('z', customer('z'))
        await lab.until(async () => JSON.stringify(await s.names()) === JSON.stringify(s.wanted()))
        expect(await errorOf(() => old.read('z'))).toMatchObject({ code: 'UNAVAILABLE', details: { why: 'revision' } })
        expect(await old.read('z', { otherwise: async () => customer('called') })).toMatchObject({ from: 'call' })
        expect(await errorOf(() => over(old.ready()))).toMatchObject({ code: 'INCOMPATIBLE' })
        expect([...old.events, ...newer.events].filter(({ type }) => type === 'message-dead')).toEqual([])
        await s.stop()
      },
    )

    it('a load of older code makes way for that of newer code, and leaves nothing in it', async () => {
      const s = await setUp()
      for (const id of ['a', 'b', 'c', 'd', 'e']) await s.source.change(id, customer(id))
      let stuck = 0
      const old = await s.old({
        revision: 1,
        snapshot: s.source.snapshot({
          before: (page) =>
            page === 2 && stuck++ === 0
              ? new Promise((resolve) => lab.clock.setTimer(resolve, 400, undefined))
              : undefined,
        }),
      })
      await over(old.start())
      await lab.until(() => stuck > 0)
      const newer = await s.newer(2)
      await over(newer.start())
      await over(newer.ready())
      await s.source.change('b', customer('b again'))
      await lab.until(async () => JSON.stringify(await s.names()) === JSON.stringify(s.wanted()))
      expect((await newer.staleness()).generation).toBe(2)
      await s.stop()
    })

    it('code of one revision that starts again finds its own copy; going back is a rebuild that is asked for', async () => {
      const s = await setUp()
      await s.source.change('a', customer('a'))
      const newer = await s.newer(2)
      await over(newer.start())
      await over(newer.ready())
      await newer.close()
      const again = await s.newer('2')
      await over(again.start())
      await over(again.ready())
      expect((await again.staleness()).generation).toBe(1)
      await again.close()
      const old = await s.old({ revision: 1 })
      expect(await errorOf(() => over(old.ready()))).toMatchObject({ code: 'INCOMPATIBLE' })
      await over(old.rebuild())
      expect(await old.read('a')).toMatchObject({ value: customer('a'), from: 'copy' })
      await s.stop()
    })

    it('no message is given up where the process that has changed the tables ended before it could say so', async () => {
      const s = await setUp()
      for (const id of ['a', 'b']) await s.source.change(id, customer(id))
      const process = await lab.process()
      let swapped = 0
      const ends: Process = {
        store: process.store,
        table: (of) => {
          const inner = process.table(of)
          return Object.assign(Object.create(inner) as ReplicaTable<any, Customer>, {
            async swap(generation: number) {
              await inner.swap(generation)
              if (++swapped === 1) await new Promise(() => undefined)
            },
          })
        },
      }
      // No retries: what fails once is a dead letter.
      const replica = await s.old({ retries: { immediate: 0, delayedMs: [] }, pageTimeoutMs: 3_000 }, ends)
      await over(replica.start())
      await over(replica.ready())
      replica.rebuild().catch(() => undefined)
      await lab.until(() => swapped > 0)
      await s.source.change('c', customer('c'))
      await s.source.change('a', customer('a again'))
      await lab.until(async () => (await replica.read('c')).value !== undefined)
      await lab.until(async () => (await replica.read('a')).value?.name === 'a again')
      // Both groups have it: the one that was read and the one that is read now.
      const handled = () => replica.events.filter(({ type }) => type === 'message-handled').length
      await lab.until(() => handled() >= 4)
      expect(replica.events.filter(({ type }) => type === 'message-dead')).toEqual([])
      // It ends although something never does.
      await over(replica.close({ withinMs: 500 }))
      const other = await s.old()
      await over(other.start())
      await lab.until(async () => (await other.staleness()).generation === 2)
      expect(JSON.stringify(live(await lab.rows(s.table)))).toBe(JSON.stringify(s.source.rows()))
      await s.stop()
    })

    it('what stands beside it from another time is left out of the new one', async () => {
      const s = await setUp()
      for (const id of ['a', 'b']) await s.source.change(id, customer(id))
      const replica = await s.old()
      await over(replica.start())
      await over(replica.ready())
      const process = await lab.process()
      const table = process.table(s.table)
      await table.beside(2)
      const stray = { key: 'stray', version: 9n, value: customer('stray') }
      await process.store.transaction((tx) => table.write(tx, { generation: 2, beside: true }, [stray], 0))
      await over(replica.rebuild())
      expect(live(await lab.rows(s.table))).toEqual(s.source.rows())
      expect(await table.isBeside(2)).toBe(false)
      await s.source.change('c', customer('c'))
      await lab.until(async () => (await replica.read('c')).value !== undefined)
      await s.stop()
    })
  })
}
