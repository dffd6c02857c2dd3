import { describe, expect, it } from 'vitest'
import type { Endpoint } from '../../../src/core/contracts/source.ts'
import { createDiscovery } from '../../../src/discovery/discovery.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { watching } from './watching.ts'

const NAME = '_http._tcp.api.example'
const options = { family: 'both' } as const

describe('SRV records', () => {
  it('give port, priority and weight, the lowest priority first', async () => {
    const { last } = await watching(NAME, options, ({ srv, a, aaaa }) => {
      srv(NAME, [
        [20, 0, 82, 'c.example'],
        [10, 60, 81, 'a.example'],
        [10, 20, 81, 'B.Example.'],
      ])
      a('a.example', ['10.0.0.1'], 9)
      a('b.example', ['10.0.0.2'], 4)
      a('c.example', ['10.0.0.3'], 8)
      aaaa('b.example', ['fd00::2'], 6)
    })
    const shared = { hostname: 'api.example' }
    expect(last()).toEqual({
      type: 'snapshot',
      // Node says no TTL of SRV: it is the least of the targets'.
      ttlMs: 4_000,
      endpoints: [
        { id: '10.0.0.1:81', addresses: [{ host: '10.0.0.1', port: 81 }], priority: 10, weight: 60, ...shared },
        {
          id: '10.0.0.2:81',
          addresses: [
            { host: '10.0.0.2', port: 81 },
            { host: 'fd00::2', port: 81 },
          ],
          priority: 10,
          weight: 20,
          ...shared,
        },
        { id: '10.0.0.3:82', addresses: [{ host: '10.0.0.3', port: 82 }], priority: 20, ...shared },
      ],
    })
  })

  it('are used in the order of RFC 2782: all of the lowest priority by weight, the next only without them', async () => {
    const { zone, source, clock } = await watching('_x._tcp.unused', options, ({ srv, a }) => {
      srv(NAME, [
        [10, 3, 80, 'a.example'],
        [10, 1, 80, 'b.example'],
        [20, 1, 80, 'c.example'],
      ])
      a('a.example', ['10.0.0.1'])
      a('b.example', ['10.0.0.2'])
      a('c.example', ['10.0.0.3'])
    })
    const discovery = createDiscovery({ source, clock, random: seededRandom(3), balancer: 'weighted' })
    const counts = async (): Promise<Record<string, number>> => {
      const picked: Record<string, number> = {}
      for (let calls = 0; calls < 400; calls++) {
        const lease = await discovery.resolver(NAME).acquire()
        picked[lease.endpoint.id] = (picked[lease.endpoint.id] ?? 0) + 1
        lease.report({ kind: 'success', latencyMs: 1 })
      }
      return picked
    }
    const before = await counts()
    expect(Object.keys(before).sort()).toEqual(['10.0.0.1:80', '10.0.0.2:80'])
    expect(before['10.0.0.1:80']).toBeGreaterThan(2 * (before['10.0.0.2:80'] as number))
    zone.srv(NAME, [[20, 1, 80, 'c.example']])
    await clock.advance(120_000)
    expect(Object.keys(await counts())).toEqual(['10.0.0.3:80'])
    await discovery.close()
  })

  it('with weights of 0 only say nothing about weights; beside others 0 is hardly ever', async () => {
    const weights = async (given: readonly number[]): Promise<unknown> => {
      const { last } = await watching(NAME, options, ({ srv, a }) => {
        srv(
          NAME,
          given.map((weight, at) => [1, weight, 80, `n${at}.example`] as const),
        )
        for (const at of given.keys()) a(`n${at}.example`, [`10.0.0.${at}`])
      })
      const update = last()
      return update?.type === 'snapshot' ? update.endpoints.map((each) => each.weight) : update
    }
    expect(await weights([0, 0])).toEqual([undefined, undefined])
    expect(await weights([0, 5])).toEqual([0, 5])
  })

  it('of a target with several addresses share its weight among them', async () => {
    const { last } = await watching(NAME, options, ({ srv, a }) => {
      srv(NAME, [[0, 10, 80, 'a.example']])
      a('a.example', ['10.0.0.2', '10.0.0.1'])
    })
    expect(last()).toMatchObject({
      endpoints: [
        { id: '10.0.0.1:80', weight: 5 },
        { id: '10.0.0.2:80', weight: 5 },
      ],
    })
  })

  it('with the target `.` say that the service is not there, which is believed at once', async () => {
    const { zone, clock, told } = await watching(NAME, options, ({ srv, a }) => {
      srv(NAME, [[0, 0, 80, 'a.example']])
      a('a.example', ['10.0.0.1'])
    })
    zone.srv(NAME, [[0, 0, 0, '']])
    await clock.advance(6_000)
    expect(told.map((each) => each.type)).toEqual(['snapshot', 'absent'])
    expect((await watching(NAME, options, ({ srv }) => srv(NAME, [[0, 0, 1, '.']]))).told).toEqual([{ type: 'absent' }])
  })

  it('that cannot be used are left out and told; the same endpoint twice is one', async () => {
    const { who, last, note } = await watching(NAME, options, ({ records, srv, a }) => {
      srv(NAME, [
        [5, 1, 80, 'a.example'],
        [1, 1, 80, 'b.example'],
        [0, 0, 0, 'a.example'],
        [0, 0, 80, 'a b'],
        [-1, 0, 80, 'a.example'],
        [0, 70_000, 80, 'a.example'],
        [0, 0, 80, ''],
      ])
      records.set(`SRV ${NAME}`, [...(records.get(`SRV ${NAME}`) as unknown[]), null, 'x', {}])
      a('a.example', ['10.0.0.1'])
      a('b.example', ['10.0.0.1'])
    })
    // The one with the better priority.
    expect(last()).toMatchObject({ endpoints: [{ id: '10.0.0.1:80', priority: 1 }] })
    expect(who()).toHaveLength(1)
    expect(note()).toContain(`8 SRV records of ${NAME}`)
  })

  it('are said to be cut where DNS cannot carry more', async () => {
    const notes = async (count: number): Promise<string | undefined> => {
      const { note } = await watching(NAME, { family: 4 }, ({ srv, a }) => {
        const names = Array.from({ length: count }, (_, at) => `t-10-20-0-${1_000 + at}.fairlead.test`)
        srv(
          NAME,
          names.map((each) => [0, 1, 80, each] as const),
        )
        for (const [at, each] of names.entries()) a(each, [`10.1.${at >> 8}.${at & 255}`])
      })
      return note()
    }
    // As many as dnsmasq gives of more; an answer that is nearly as long is not suspected.
    expect(await notes(1_364)).toContain('as many SRV records as an answer of DNS can hold')
    expect(await notes(1_300)).toBeUndefined()
  })

  it('may name an address for a target, though they must not', async () => {
    const { who } = await watching(NAME, options, ({ srv }) => srv(NAME, [[0, 0, 80, '10.0.0.7']]))
    expect(who()).toEqual(['10.0.0.7:80'])
  })

  it('are gone after three answers in a row, as addresses are', async () => {
    const { zone, clock, told } = await watching(NAME, options, ({ srv, a }) => {
      srv(NAME, [[0, 0, 80, 'a.example']])
      a('a.example', ['10.0.0.1'])
    })
    zone.drop(NAME)
    await clock.advance(30_000)
    expect(told.slice(0, 4).map((each) => each.type)).toEqual(['snapshot', 'error', 'error', 'absent'])
  })
})

describe('targets of SRV records', () => {
  const three = (zone: {
    srv: (name: string, all: (readonly [number, number, number, string])[]) => void
    a: (name: string, addresses: readonly string[]) => void
  }): void => {
    zone.srv(
      NAME,
      ['a', 'b', 'c'].map((each) => [0, 0, 80, `${each}.example`] as const),
    )
    for (const [at, each] of ['a', 'b', 'c'].entries()) zone.a(`${each}.example`, [`10.0.0.${at + 1}`])
  }

  it('that cannot be looked up keep what they had, and are told', async () => {
    const { zone, clock, who, note } = await watching(NAME, options, three)
    zone.a('b.example', 'ESERVFAIL')
    zone.aaaa('b.example', 'ESERVFAIL')
    await clock.advance(6_000)
    expect(who()).toEqual(['10.0.0.1:80', '10.0.0.2:80', '10.0.0.3:80'])
    expect(note()).toContain('1 of 3 targets could not be looked up: A of b.example: ESERVFAIL')
  })

  it('that do not exist are left out', async () => {
    const { zone, clock, who, note } = await watching(NAME, options, three)
    zone.drop('b.example')
    await clock.advance(6_000)
    expect(who()).toEqual(['10.0.0.1:80', '10.0.0.3:80'])
    expect(note()).toContain('1 of 3 targets could not be looked up: b.example has no address')
  })

  it('that have no address at all are an error, and not an empty list', async () => {
    const { zone, clock, who } = await watching(NAME, options, three)
    for (const each of ['a', 'b', 'c']) zone.drop(`${each}.example`)
    await clock.advance(6_000)
    expect(who()).toMatch(/^error: _http._tcp.api.example has 3 SRV records, and none of them leads to an address/)
  })

  it('are asked for a few at a time', async () => {
    const names = Array.from({ length: 500 }, (_, at) => `n${at}.example`)
    let open = 0
    let most = 0
    const resolve4 = async (name: string): Promise<{ address: string; ttl: number }[]> => {
      most = Math.max(most, ++open)
      await undefined
      open--
      const at = names.indexOf(name)
      return [{ address: `10.0.${at >> 8}.${at & 255}`, ttl: 5 }]
    }
    const { last } = await watching(
      NAME,
      {
        family: 4,
        resolver: {
          resolve4,
          resolve6: async () => [],
          resolveSrv: async () => names.map((name) => ({ name, port: 80, priority: 0, weight: 0 })),
        },
      },
      () => {},
    )
    const update = last()
    expect(update?.type === 'snapshot' ? (update.endpoints as Endpoint[]).length : 0).toBe(500)
    expect(most).toBeLessThanOrEqual(16)
    expect(most).toBeGreaterThan(4)
  })
})
