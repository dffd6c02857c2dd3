import type { NetworkInterfaceInfo } from 'node:os'
import { describe, expect, it, vi } from 'vitest'
import { reachable } from '../../../src/adapters/dns/addresses.ts'
import { dnsSource } from '../../../src/adapters/dns/index.ts'
import { watching } from './watching.ts'

const plain = { port: 80, family: 'both' } as const

describe('addresses', () => {
  it('are merged from both families, each once, and sorted: a rotated answer is no change', async () => {
    const { zone, clock, last, told } = await watching('api', plain, ({ a, aaaa }) => {
      a('api', ['10.0.0.2', '10.0.0.1', '10.0.0.2'])
      aaaa('api', ['fd00::2', 'fd00::1'])
    })
    const first = last()
    expect(first).toEqual({
      type: 'snapshot',
      ttlMs: 5_000,
      endpoints: [
        { id: '10.0.0.1:80', addresses: [{ host: '10.0.0.1', port: 80 }], hostname: 'api' },
        { id: '10.0.0.2:80', addresses: [{ host: '10.0.0.2', port: 80 }], hostname: 'api' },
        { id: '[fd00::1]:80', addresses: [{ host: 'fd00::1', port: 80 }], hostname: 'api' },
        { id: '[fd00::2]:80', addresses: [{ host: 'fd00::2', port: 80 }], hostname: 'api' },
      ],
    })
    zone.a('api', ['10.0.0.1', '10.0.0.2'])
    zone.aaaa('api', ['fd00::1', 'fd00::2', 'fd00::1'])
    await clock.advance(6_000)
    expect(told).toHaveLength(2)
    expect(last()).toEqual(first)
  })

  it('of one in each family are two ways to one endpoint, and may be a virtual IP', async () => {
    const { last, note } = await watching('api', { ...plain, secure: true }, ({ a, aaaa }) => {
      a('api', ['10.0.0.1'])
      aaaa('api', ['fd00::1'])
    })
    expect(last()).toMatchObject({
      endpoints: [
        {
          id: '10.0.0.1:80',
          addresses: [
            { host: '10.0.0.1', port: 80 },
            { host: 'fd00::1', port: 80 },
          ],
          secure: true,
        },
      ],
    })
    expect(note()).toContain('one address behind api: if it is a virtual IP')
  })

  it('of two are no virtual IP', async () => {
    const { note } = await watching('api', plain, ({ a }) => a('api', ['10.0.0.1', '10.0.0.2']))
    expect(note()).toBeUndefined()
  })

  it('of one family only are asked for when that is said', async () => {
    const { zone, who } = await watching('api', { port: 80, family: 6 }, ({ a, aaaa }) => {
      a('api', ['10.0.0.1'])
      aaaa('api', ['fd00::1'])
    })
    expect(zone.asked).toEqual(['AAAA api'])
    expect(who()).toEqual(['[fd00::1]:80'])
  })

  it('that are none are left out and told; if all are, that is an error and not an empty list', async () => {
    const { zone, clock, who, note } = await watching('api', plain, ({ a, aaaa }) => {
      a('api', ['10.0.0.1', 'nonsense', '', '10.0.0.2'])
      aaaa('api', [])
    })
    expect(who()).toEqual(['10.0.0.1:80', '10.0.0.2:80'])
    expect(note()).toBe('2 IPv4 records of api are no addresses')
    zone.a('api', ['fd00::1'])
    await clock.advance(6_000)
    expect(who()).toMatch(/^error: api has 1 IPv4 records, none of which is an address/)
  })

  it('are said to be cut where DNS cannot carry more', async () => {
    const many = (count: number): string[] =>
      Array.from({ length: count }, (_, at) => `10.0.${Math.floor(at / 250)}.${at % 250}`)
    const full = await watching('api', plain, ({ a }) => a('api', many(4_094)))
    expect(full.note()).toContain('there may be more')
    const less = await watching('api', plain, ({ a }) => a('api', many(4_000)))
    expect(less.note()).toBeUndefined()
  })

  it('of a family that this machine does not have are left out, unless there is nothing else', () => {
    const at = (address: string, family: 'IPv4' | 'IPv6', internal = false): NetworkInterfaceInfo =>
      ({ address, family, internal }) as NetworkInterfaceInfo
    const lo = [at('127.0.0.1', 'IPv4', true), at('::1', 'IPv6', true)]
    const only4 = { lo, eth0: [at('10.1.1.1', 'IPv4'), at('fe80::1', 'IPv6')] }
    const only6 = { lo, eth0: [at('fd00::1', 'IPv6')] }
    const both = { lo, eth0: [at('10.1.1.1', 'IPv4'), at('fd00::1', 'IPv6')] }
    const v4 = ['10.0.0.1', '127.0.0.1']
    const v6 = ['::1', 'fd00::9']
    expect(reachable(v4, v6, both)).toEqual([v4, v6])
    expect(reachable(v4, v6, { lo })).toEqual([v4, v6])
    expect(reachable(v4, v6, only4)).toEqual([v4, ['::1']])
    expect(reachable(v4, v6, only6)).toEqual([['127.0.0.1'], v6])
    expect(reachable([], v6, only4)).toEqual([[], v6])
    expect(reachable(v4, [], only6)).toEqual([v4, []])
  })

  it('keep the Host and SNI that the caller named, whatever suffix answered', async () => {
    const { last } = await watching('api', { ...plain, search: ['prod.example'] }, ({ a }) =>
      a('api.prod.example', ['10.0.0.1']),
    )
    expect(last()).toMatchObject({ endpoints: [{ hostname: 'api' }] })
  })
})

describe('time', () => {
  it.each([
    ['0, floored', 0, 1_000],
    ['none at all', Number.NaN, 1_000],
    ['1 s', 1, 1_000],
    ['5 s', 5, 5_000],
    ['that of Docker, capped', 600, 30_000],
    ['a week', 604_800, 30_000],
  ])('TTL %s: asked again when it is over, and not before', async (_, ttl, ttlMs) => {
    const { zone, clock, last } = await watching('api', plain, ({ a }) => a('api', ['10.0.0.1', '10.0.0.2'], ttl))
    expect(last()).toMatchObject({ ttlMs })
    zone.asked.length = 0
    await clock.advance(ttlMs - 1)
    expect(zone.asked).toEqual([])
    // A tenth more at most, and never sooner: a cache would say the same again.
    await clock.advance(ttlMs * 0.1 + 1)
    expect(zone.asked).toEqual(['A api', 'AAAA api'])
  })

  it('is the least of all records', async () => {
    const { last } = await watching('api', plain, ({ a, aaaa }) => {
      a('api', ['10.0.0.1'], 20)
      aaaa('api', ['fd00::1'], 7)
    })
    expect(last()).toMatchObject({ ttlMs: 7_000 })
  })

  it('has the bounds that are given', async () => {
    const bounds = { ...plain, minTtlMs: 3_000, maxTtlMs: 4_000 }
    expect((await watching('api', bounds, ({ a }) => a('api', ['10.0.0.1'], 1))).last()).toMatchObject({ ttlMs: 3_000 })
    expect((await watching('api', bounds, ({ a }) => a('api', ['10.0.0.1'], 9))).last()).toMatchObject({ ttlMs: 4_000 })
  })

  it('a question that is never answered ends, and another one is asked', async () => {
    const { zone, clock, who } = await watching('api', { ...plain, timeoutMs: 2_000 }, ({ a }) => a('api', 'silent'))
    await clock.advance(1_999)
    expect(who()).toBe('nothing')
    await clock.advance(1)
    expect(who()).toBe('error: A of api: no answer within 2000 ms')
    zone.a('api', ['10.0.0.1'])
    await clock.advance(1_000)
    expect(who()).toEqual(['10.0.0.1:80'])
  })

  it('stands still after close: no timer, no word', async () => {
    const silent = await watching('api', plain, ({ a }) => a('api', 'silent'))
    await silent.watch.close()
    expect(silent.clock.pending).toBe(0)
    const idle = await watching('api', plain, ({ a }) => a('api', ['10.0.0.1']))
    await idle.watch.close()
    expect(idle.clock.pending).toBe(0)
    await idle.clock.advance(60_000)
    expect(idle.told).toHaveLength(1)
    expect(silent.told).toHaveLength(0)
  })
})

describe('a name that is gone', () => {
  it('is believed after three answers in a row, and is an error until then', async () => {
    const { zone, clock, told, who } = await watching('api', plain, ({ a }) => a('api', ['10.0.0.1']))
    zone.drop('api')
    await clock.advance(30_000)
    expect(told.slice(0, 4).map((each) => each.type)).toEqual(['snapshot', 'error', 'error', 'absent'])
    expect(told[1]).toMatchObject({
      error: { message: expect.stringContaining('no such name (NXDOMAIN) for api: 1 of the 3') },
    })
    expect(who()).toBe('absent')
  })

  it('is believed when it is asked for the first time: there is nothing to lose', async () => {
    const { told, clock, zone, who } = await watching('api', plain, () => {})
    expect(told).toEqual([{ type: 'absent' }])
    zone.a('api', ['10.0.0.1'])
    await clock.advance(5_500)
    expect(who()).toEqual(['10.0.0.1:80'])
  })

  it('has to be gone three times anew when it was back, or when an answer between was none', async () => {
    const { zone, clock, told } = await watching('api', plain, ({ a }) => a('api', ['10.0.0.1'], 1))
    const upTo = async (errors: number): Promise<void> => {
      for (let tries = 0; told.filter((each) => each.type === 'error').length < errors; tries++) {
        if (tries > 600) throw new Error('in vain')
        await clock.advance(100)
      }
    }
    zone.drop('api')
    await upTo(2)
    zone.a('api', ['10.0.0.1'], 1)
    await clock.advance(10_000)
    zone.drop('api')
    await upTo(4)
    zone.a('api', 'ESERVFAIL')
    zone.aaaa('api', 'ESERVFAIL')
    await upTo(5)
    zone.drop('api')
    await upTo(7)
    expect(told.map((each) => each.type)).not.toContain('absent')
    await clock.advance(60_000)
    expect(told.at(-1)).toEqual({ type: 'absent' })
  })

  it('with other records is known and empty (NODATA), which is believed no sooner', async () => {
    const { zone, clock, told } = await watching('api', plain, ({ a }) => a('api', ['10.0.0.1']))
    zone.drop('api')
    zone.srv('api', [])
    await clock.advance(30_000)
    expect(told.slice(0, 4)).toMatchObject([
      { type: 'snapshot' },
      { type: 'error', error: { message: expect.stringContaining('no records (NODATA)') } },
      { type: 'error' },
      { type: 'snapshot', endpoints: [] },
    ])
  })

  it.each(['ESERVFAIL', 'EREFUSED', 'ETIMEOUT'] as const)('is not gone by %s, however often', async (failure) => {
    const { zone, clock, told } = await watching('api', plain, ({ a }) => a('api', ['10.0.0.1']))
    zone.a('api', failure)
    zone.aaaa('api', failure)
    await clock.advance(600_000)
    expect(told.length).toBeGreaterThan(20)
    expect(told.slice(1).every((each) => each.type === 'error')).toBe(true)
    const code = failure === 'ETIMEOUT' ? 'NAME_LOOKUP_TIMEOUT' : 'NAME_LOOKUP_FAILED'
    expect(told[1]).toMatchObject({ error: { code } })
    zone.a('api', ['10.0.0.2'])
    await clock.advance(31_000)
    expect(told.at(-1)).toMatchObject({ type: 'snapshot', endpoints: [{ id: '10.0.0.2:80' }] })
  })
})

describe('half of an answer', () => {
  it('is used: a family that fails keeps what it had', async () => {
    const { zone, clock, who, note } = await watching('api', plain, ({ a, aaaa }) => {
      a('api', ['10.0.0.1', '10.0.0.2'])
      aaaa('api', ['fd00::1'])
    })
    zone.a('api', ['10.0.0.3', '10.0.0.2'])
    zone.aaaa('api', 'ESERVFAIL')
    await clock.advance(6_000)
    expect(who()).toEqual(['10.0.0.2:80', '10.0.0.3:80', '[fd00::1]:80'])
    expect(note()).toBe('half of an answer: AAAA of api: ESERVFAIL')
  })

  it('is used when it is the first one', async () => {
    const { who } = await watching('api', plain, ({ a, aaaa }) => {
      a('api', ['10.0.0.1', '10.0.0.2'])
      aaaa('api', 'silent')
    })
    expect(who()).toBe('nothing')
    const { clock, who: later } = await watching('api', plain, ({ a, aaaa }) => {
      a('api', ['10.0.0.1', '10.0.0.2'])
      aaaa('api', 'silent')
    })
    await clock.advance(3_000)
    expect(later()).toEqual(['10.0.0.1:80', '10.0.0.2:80'])
  })

  it('that has nothing is no answer', async () => {
    const { who } = await watching('api', plain, ({ aaaa }) => aaaa('api', 'ESERVFAIL'))
    expect(who()).toBe('error: AAAA of api: ESERVFAIL')
  })

  it('a family that is suddenly gone is believed after three answers', async () => {
    const { zone, clock, told } = await watching('api', plain, ({ a, aaaa }) => {
      a('api', ['10.0.0.1', '10.0.0.2'], 1)
      aaaa('api', ['fd00::1'], 1)
    })
    zone.a('api', 'ENODATA')
    await clock.advance(10_000)
    const counts = told.map((each) => (each.type === 'snapshot' ? each.endpoints.length : each.type))
    expect(counts.slice(0, 4)).toEqual([3, 3, 3, 1])
  })
})

describe('questions', () => {
  it('of two watches that ask for the same are one', async () => {
    const { zone, source, clock } = await watching('other', plain, ({ a }) => a('api', 'silent'))
    zone.asked.length = 0
    const one = source.watch('api', () => {})
    const two = source.watch('API', () => {})
    await clock.advance(0)
    expect(zone.asked).toEqual(['A api', 'AAAA api'])
    await one.close()
    expect(clock.pending).toBeGreaterThan(1)
    await two.close()
  })

  it('are asked soon after a refresh, and a storm of them is one', async () => {
    const { zone, clock, watch } = await watching('api', plain, ({ a }) => a('api', ['10.0.0.1'], 20))
    await clock.advance(2_000)
    zone.asked.length = 0
    for (let times = 0; times < 100; times++) watch.refresh()
    await clock.advance(0)
    expect(zone.asked).toEqual(['A api', 'AAAA api'])
    for (let times = 0; times < 100; times++) watch.refresh()
    await clock.advance(999)
    expect(zone.asked).toHaveLength(2)
    await clock.advance(1)
    expect(zone.asked).toHaveLength(4)
  })

  it('about what the resolver does not answer with a list are errors', async () => {
    const { told } = await watching('api', plain, ({ records }) => void records.set('A api', { length: 1 } as never))
    expect(told).toMatchObject([{ type: 'error', error: { code: 'NAME_LOOKUP_FAILED' } }])
  })
})

describe('the look-up of the system', () => {
  it('is asked when DNS knows no such name, with the name as it stands', async () => {
    const lookup = vi.fn(async () => [
      { address: '10.0.0.2', family: 4 },
      { address: '10.0.0.1', family: 4 },
      { address: 'fd00::1', family: 6 },
    ])
    const { clock, zone, who, note, last } = await watching('api', { ...plain, lookup, search: ['x'] }, () => {})
    expect(lookup).toHaveBeenCalledWith('api', { all: true })
    expect(who()).toEqual(['10.0.0.1:80', '10.0.0.2:80', '[fd00::1]:80'])
    expect(note()).toContain('DNS does not know api')
    expect(last()).toMatchObject({ ttlMs: 30_000 })
    zone.a('api', ['10.0.0.9'])
    await clock.advance(33_000)
    expect(who()).toEqual(['10.0.0.9:80'])
  })

  it('is not asked while DNS fails, nor for SRV, nor where servers are given', async () => {
    const lookup = vi.fn(async () => [{ address: '10.0.0.2', family: 4 }])
    expect((await watching('api', { ...plain, lookup }, ({ a }) => a('api', 'ESERVFAIL'))).who()).toMatch(/^error/)
    expect((await watching('_a._tcp.api', { lookup }, () => {})).who()).toBe('absent')
    expect(lookup).not.toHaveBeenCalled()
    expect((await watching('localhost', plain, () => {})).who()).toBe('absent')
  })

  it('says absent with NXDOMAIN as well, and its failures are errors', async () => {
    const fail = (code: string) => async (): Promise<never> => {
      throw Object.assign(new Error(code), { code })
    }
    expect((await watching('api', { ...plain, lookup: fail('ENOTFOUND') }, () => {})).who()).toBe('absent')
    const failing = await watching('api', { ...plain, lookup: fail('EAI_AGAIN') }, () => {})
    expect(failing.who()).toBe('error: look-up of api: EAI_AGAIN')
  })

  it('is that of this machine by default: its own name for itself is found without a server', async () => {
    const { clock, zone } = await watching('unused', plain, () => {})
    await clock.advance(0)
    expect(zone.asked).not.toContain('A localhost')
    const told: unknown[] = []
    const { lookup } = (await import('node:dns')).promises
    const source = dnsSource({ resolver: zone, lookup, port: 80, family: 4 })
    const watch = source.watch('localhost', (update) => void told.push(update))
    await vi.waitFor(() => expect(told).toHaveLength(1), { timeout: 20_000 })
    expect(told).toMatchObject([{ type: 'snapshot', endpoints: [{ id: '127.0.0.1:80' }] }])
    await watch.close()
  })
})
