// The owner's side of a snapshot: pages by key, the position before the first of them, and nothing remembered in between.
import { describe, expect, it } from 'vitest'
import { type SnapshotRead, serveSnapshot, snapshotFrom } from '../../../src/messaging/replica/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { errorOf } from '../kit.ts'

const signal = new AbortController().signal

describe('a served snapshot', () => {
  const rows = new Map<number, string>(Array.from({ length: 7 }, (_, at) => [at * 3, `row ${at}`]))
  const read = async ({ after = -1, limit }: SnapshotRead) =>
    [...rows]
      .filter(([key]) => key > Number(after))
      .slice(0, limit)
      .map(([key, value]) => ({ key, version: 1n, value }))

  it('is all entries, page by page, whichever instance answers', async () => {
    const servers = [serveSnapshot({ read, pageSize: 3 }), serveSnapshot({ read, pageSize: 3 })]
    let turn = 0
    const snapshot = snapshotFrom(async (request) => {
      const page = await servers[turn++ % 2]?.(request)
      return JSON.parse(JSON.stringify(page)) as NonNullable<typeof page>
    })
    const pages = []
    for await (const page of snapshot({ after: undefined, signal })) pages.push(page)
    expect(pages.map(({ entries }) => entries.map(({ key }) => key))).toEqual([[0, 3, 6], [9, 12, 15], [18]])
    expect(pages.flatMap(({ entries }) => entries.map(({ version }) => version))).toEqual(new Array(7).fill('1'))
    expect(pages.map(({ position }) => position !== undefined)).toEqual([true, false, false])
    const rest = []
    for await (const { entries } of snapshot({ after: pages[1]?.cursor, signal })) rest.push(...entries)
    expect(rest.map(({ key }) => key)).toEqual([18])
  })

  it('hands out the position of before it read: of now less the overlap, or as it is told', async () => {
    const clock = fakeClock()
    const slow = async (wanted: SnapshotRead) => {
      await clock.advance(5_000)
      return read(wanted)
    }
    const at = clock.wallNow()
    expect((await serveSnapshot({ read: slow, clock })({})).position).toEqual({ time: at - 60_000 })
    const now = clock.wallNow()
    expect((await serveSnapshot({ read: slow, clock, overlapMs: 10 })({})).position).toEqual({ time: now - 10 })
    const order: string[] = []
    const own = serveSnapshot({
      position: async () => {
        order.push('position')
        return { positions: { p0: '17' } }
      },
      read: async (wanted) => {
        order.push('read')
        return read(wanted)
      },
    })
    expect((await own({})).position).toEqual({ positions: { p0: '17' } })
    expect(order.slice(0, 2)).toEqual(['position', 'read'])
    expect((await serveSnapshot({ read, position: false })({})).position).toBeUndefined()
  })

  it('is not over where a page is short for other reasons, and says whether more follows', async () => {
    // A database that hands out no more than two at a time, and a last page that is full.
    const stingy = async ({ after, limit }: SnapshotRead) => read({ after, limit: Math.min(limit, 2) })
    const server = serveSnapshot({ read: stingy, pageSize: 3 })
    const keys = []
    for await (const { entries } of snapshotFrom(server)({ after: undefined, signal }))
      keys.push(...entries.map(({ key }) => key))
    expect(keys).toEqual([...rows.keys()])
    expect((await serveSnapshot({ read, pageSize: 8 })({})).more).toBe(false)
    expect((await serveSnapshot({ read, pageSize: 3 })({})).more).toBe(true)
  })

  it('is refused where a page does not say whether more follows: a schema has left it out', async () => {
    const server = serveSnapshot({ read, pageSize: 3 })
    for (const leave of ['more', 'cursor'] as const) {
      const without = snapshotFrom(async (request) => {
        const { [leave]: _, ...page } = await server(request)
        return page as never
      })
      const all = async (): Promise<void> => {
        for await (const _ of without({ after: undefined, signal }));
      }
      expect(await errorOf(all)).toMatchObject({ code: 'INVALID_INPUT' })
    }
  })

  it('takes keys of each kind, and refuses a cursor of somebody else', async () => {
    for (const key of ['a:b', 5, 2n ** 60n]) {
      const asked: unknown[] = []
      const snapshot = serveSnapshot({
        pageSize: 1,
        read: async ({ after }) => {
          asked.push(after)
          return asked.length === 1 ? [{ key, version: 1, value: 1 }] : []
        },
      })
      const { cursor } = await snapshot({})
      expect(await snapshot({ after: cursor })).toEqual({ entries: [], more: false })
      expect(asked).toEqual([undefined, key])
    }
    expect(await errorOf(() => serveSnapshot({ read })({ after: 'b:x' }))).toMatchObject({ code: 'INVALID_REQUEST' })
    expect(await errorOf(() => serveSnapshot({ read, pageSize: 0 }))).toMatchObject({ code: 'INVALID_OPTIONS' })
  })
})
