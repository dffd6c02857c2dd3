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
    expect(order).toEqual(['position', 'read'])
    expect((await serveSnapshot({ read, position: false })({})).position).toBeUndefined()
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
      expect(await snapshot({ after: cursor })).toEqual({ entries: [] })
      expect(asked).toEqual([undefined, key])
    }
    expect(await errorOf(() => serveSnapshot({ read })({ after: 'b:x' }))).toMatchObject({ code: 'INVALID_REQUEST' })
    expect(await errorOf(() => serveSnapshot({ read, pageSize: 0 }))).toMatchObject({ code: 'INVALID_OPTIONS' })
  })
})
