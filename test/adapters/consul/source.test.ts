// The rules of blocking queries, and answers that a healthy agent does not give, on a clock that stands still.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ConsulSourceOptions, consulSource } from '../../../src/adapters/consul/index.ts'
import type { SourceUpdate, SourceWatch } from '../../../src/core/contracts/source.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { entry, type ScriptedAgent, scriptedAgent, until } from './scripted-agent.ts'

let agent: ScriptedAgent
let clock: FakeClock
let watch: SourceWatch | undefined
let heard: SourceUpdate[]

beforeEach(async () => {
  agent = await scriptedAgent()
  clock = fakeClock()
  heard = []
})
afterEach(async () => {
  await watch?.close()
  watch = undefined
  expect(clock.pending).toBe(0)
  await until(() => agent.connections() === 0)
  await agent.close()
})

const begin = (options: Partial<ConsulSourceOptions> = {}, service = 'web'): void => {
  const source = consulSource({ url: agent.url, clock, random: seededRandom(7), ...options })
  watch = source.watch(service, (update) => heard.push(update))
}
const told = async (count: number): Promise<SourceUpdate> => {
  await until(() => heard.length >= count)
  expect(heard.length).toBe(count)
  return heard[count - 1] as SourceUpdate
}
const ids = (update: SourceUpdate): readonly string[] =>
  update.type === 'snapshot' ? update.endpoints.map(({ id }) => id) : [update.type]
const code = (update: SourceUpdate): unknown =>
  update.type === 'error' ? (update.error as { code: string }).code : update
const pause = (update: SourceUpdate): number => (update.type === 'error' ? (update.retryInMs ?? 0) : Number.NaN)

describe('the question', () => {
  it('names service, tags, place, filter, consistency and token, each encoded', async () => {
    begin(
      {
        tags: ['v2', 'a&b'],
        datacenter: 'dc 2',
        namespace: 'team',
        partition: 'p',
        near: '_agent',
        filter: 'Service.Meta.v == "2"',
        token: async () => 'secret',
        serviceName: (name) => `prod/${name}`,
      },
      'w?b',
    )
    const { path, query, headers } = await agent.next()
    expect(path).toBe('/v1/health/service/prod%2Fw%3Fb')
    expect(query.getAll('tag')).toEqual(['v2', 'a&b'])
    expect(Object.fromEntries(query)).toMatchObject({
      dc: 'dc 2',
      ns: 'team',
      partition: 'p',
      near: '_agent',
      filter: 'Service.Meta.v == "2"',
      stale: '',
    })
    expect(query.has('index')).toBe(false)
    expect(headers['x-consul-token']).toBe('secret')
  })

  it.each([
    ['default', []],
    ['consistent', ['consistent']],
    ['cached', ['cached']],
  ] as const)('asks %s as %j', async (consistency, expected) => {
    begin({ consistency })
    expect([...(await agent.next()).query.keys()]).toEqual(expected)
  })

  it.each(['', '.', '..', '\ud800'])('throws for a service that cannot be asked for: %j', (service) => {
    const source = consulSource({ url: agent.url, clock })
    expect(() => source.watch(service, () => {})).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
  })

  it.each([
    { url: 'nowhere' },
    { url: 7 },
    { waitMs: 999 },
    { waitMs: 600_001 },
    { consistency: 'strong' },
    { tags: 'v2' },
    { passingOnly: true },
  ])('refuses the options %j', (wrong) => {
    expect(() => consulSource({ url: agent.url, ...wrong } as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS' }),
    )
  })
})

describe('the index', () => {
  it('is handed back as it came, with the wait; what is new is told, what is equal is not', async () => {
    begin()
    ;(await agent.next()).entries('18446744073709551614', [entry('a')])
    expect(ids(await told(1))).toEqual(['node-1/a'])
    const second = await agent.next()
    expect([second.query.get('index'), second.query.get('wait')]).toEqual(['18446744073709551614', '55000ms'])
    // Only an output has changed, which is none of our business.
    second.entries('18446744073709551615', [entry('a', {}, [{ CheckID: 'x', Status: 'passing', Output: 'now' }])])
    const third = await agent.next()
    expect(third.query.get('index')).toBe('18446744073709551615')
    third.entries('18446744073709551615', [entry('a'), entry('b')])
    expect(ids(await told(2))).toEqual(['node-1/a', 'node-1/b'])
  })

  it('tells once a wait that it is still so', async () => {
    begin()
    ;(await agent.next()).entries('5', [entry('a')])
    ;(await agent.next()).entries('5', [entry('a')])
    expect(ids(await told(2))).toEqual(['node-1/a'])
  })

  it('of 0 is taken for 1, so that the next question waits', async () => {
    begin()
    ;(await agent.next()).entries('0', [])
    expect((await agent.next()).query.get('index')).toBe('1')
  })

  it('that goes back is forgotten', async () => {
    begin()
    ;(await agent.next()).entries('50', [entry('a')])
    ;(await agent.next()).entries('7', [entry('a'), entry('b')])
    expect((await agent.next()).query.has('index')).toBe(false)
    expect(ids(heard[1] as SourceUpdate)).toEqual(['node-1/a', 'node-1/b'])
  })

  it('is forgotten after an error, and that it is well again is told, also when nothing has changed', async () => {
    begin()
    ;(await agent.next()).entries('50', [entry('a')])
    ;(await agent.next()).answer(500, 'rpc error')
    const error = await told(2)
    expect(code(error)).toBe('SERVER_ERROR')
    await clock.advance(pause(error))
    const again = await agent.next()
    expect(again.query.has('index')).toBe(false)
    again.entries('50', [entry('a')])
    expect(ids(await told(3))).toEqual(['node-1/a'])
  })

  it.each([undefined, '', 'x', '-1', '1e3'])('of %j makes it poll', async (index) => {
    begin()
    ;(await agent.next()).entries(index, [entry('a')])
    await told(1)
    await clock.advance(9_999)
    expect(agent.questions.length).toBe(1)
    await clock.advance(1)
    expect((await agent.next()).query.has('index')).toBe(false)
  })

  it('that changes all the time is followed quickly at first, and then once a second', async () => {
    begin()
    for (let index = 1; index <= 10; index++) (await agent.next()).entries(String(index), [entry('a')])
    await told(1)
    const times: number[] = []
    for (let index = 11; index <= 14; index++) {
      const before = agent.questions.length
      while (agent.questions.length === before) {
        await clock.advance(10)
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
      times.push(clock.now())
      ;(await agent.next()).entries(String(index), [entry('a')])
    }
    const gaps = times.slice(1).map((at, index) => at - (times[index] as number))
    for (const gap of gaps) expect(gap).toBeGreaterThanOrEqual(900)
    expect(heard.length).toBe(1)
  })
})

describe('a server that has not read its own log yet', () => {
  const restarted = async (): Promise<void> => {
    begin()
    ;(await agent.next()).entries('50', [entry('a'), entry('b')])
    await told(1)
    ;(await agent.next()).drop()
    await clock.advance(pause(await told(2)))
  }

  it('is not believed: the leader is asked, and where it cannot say either, nobody is lost', async () => {
    await restarted()
    ;(await agent.next()).entries('3', [])
    const made = await agent.next()
    expect([made.query.has('consistent'), made.query.has('stale'), made.query.has('index')]).toEqual([
      true,
      false,
      false,
    ])
    made.answer(500, 'Not ready to serve consistent reads')
    const error = await told(3)
    expect(code(error)).toBe('SERVER_ERROR')
    await clock.advance(pause(error))
    ;(await agent.next()).entries('60', [entry('a'), entry('b')])
    expect(ids(await told(4))).toEqual(['node-1/a', 'node-1/b'])
  })

  it('is believed when the leader says so as well', async () => {
    await restarted()
    ;(await agent.next()).entries('3', [entry('b')])
    ;(await agent.next()).entries('4', [entry('b')])
    expect(ids(await told(3))).toEqual(['node-1/b'])
    expect((await agent.next()).query.get('index')).toBe('4')
  })

  it('needs no leader where nobody is missing', async () => {
    await restarted()
    ;(await agent.next()).entries('3', [entry('a'), entry('b'), entry('c')])
    expect(ids(await told(3))).toEqual(['node-1/a', 'node-1/b', 'node-1/c'])
  })
})

describe('time', () => {
  it('is the wait, a sixteenth of it, and the time for an answer', async () => {
    begin({ waitMs: 16_000, timeoutMs: 1_000 })
    ;(await agent.next()).entries('5', [entry('a')])
    await told(1)
    await agent.next()
    await clock.advance(17_999)
    expect(heard.length).toBe(1)
    await clock.advance(1)
    expect(code(await told(2))).toBe('ATTEMPT_TIMEOUT')
  })

  it('of a first question is that for an answer', async () => {
    begin({ timeoutMs: 1_000 })
    await agent.next()
    await clock.advance(1_000)
    expect(code(await told(1))).toBe('ATTEMPT_TIMEOUT')
  })

  it('is cut short by refresh, which asks for an answer at once', async () => {
    begin()
    ;(await agent.next()).entries('5', [entry('a')])
    await told(1)
    await agent.next()
    watch?.refresh()
    await clock.advance(1_000)
    const asked = await agent.next()
    expect(asked.query.has('index')).toBe(false)
    asked.entries('6', [entry('a'), entry('b')])
    expect(ids(await told(2))).toEqual(['node-1/a', 'node-1/b'])
  })
})

describe('what is no answer', () => {
  it.each([
    ['no list', 200, { Node: {} }, {}, 'REPLY_UNDECODABLE'],
    ['null', 200, 'null', {}, 'REPLY_UNDECODABLE'],
    ['HTML', 200, '<html>', {}, 'REPLY_UNDECODABLE'],
    ['half of it', 200, '[{"Node"', {}, 'REPLY_UNDECODABLE'],
    ['nothing', 200, '', {}, 'REPLY_UNDECODABLE'],
    ['a redirect', 302, '', { location: '/ui' }, 'UNEXPECTED_REDIRECT'],
    ['a refusal of the token', 403, 'Permission denied', {}, 'FORBIDDEN'],
    ['too many questions', 429, 'rate limit', {}, 'TOO_MANY_REQUESTS'],
    ['no leader', 500, 'No cluster leader', {}, 'SERVER_ERROR'],
    ['nobody, by a server without a leader', 200, [], { 'X-Consul-KnownLeader': 'false' }, 'UNAVAILABLE'],
    ['nobody, by a server long without one', 200, [], { 'X-Consul-LastContact': '60000' }, 'UNAVAILABLE'],
    ['nobody, because of the token', 200, [], { 'X-Consul-Results-Filtered-By-ACLs': 'true' }, 'FORBIDDEN'],
  ])('is %s', async (_, status, body, headers, expected) => {
    begin()
    ;(await agent.next()).answer(status, body, { 'X-Consul-Index': '5', ...headers } as Record<string, string>)
    const update = await told(1)
    expect(code(update)).toBe(expected)
    expect(pause(update)).toBeGreaterThan(0)
  })

  it('is an empty list by a cache that knows of no leader, and that is an answer', async () => {
    begin({ consistency: 'cached' })
    ;(await agent.next()).entries('5', [], { 'X-Consul-KnownLeader': 'false' })
    expect(await told(1)).toEqual({ type: 'snapshot', endpoints: [] })
  })

  it('is an empty list out of a stream of changes, which never knows of one, and that is an answer', async () => {
    begin()
    ;(await agent.next()).entries('5', [entry('a')])
    ;(await agent.next()).entries('6', [], { 'X-Consul-KnownLeader': 'false', 'X-Consul-Query-Backend': 'streaming' })
    expect(await told(2)).toEqual({ type: 'snapshot', endpoints: [] })
  })

  it('is a token that cannot be had', async () => {
    begin({ token: () => Promise.reject(new Error('the vault is shut')) })
    const update = await told(1)
    expect(String(update.type === 'error' && update.error)).toContain('the vault is shut')
    expect(agent.questions.length).toBe(0)
  })
})

describe('what an operator should know', () => {
  it.each([
    ['KnownLeader', { 'X-Consul-KnownLeader': 'false' }, /lost its leader/],
    ['ACLs', { 'X-Consul-Results-Filtered-By-ACLs': 'true' }, /token may not read all/],
  ])('is noted: %s', async (_, headers, expected) => {
    begin()
    ;(await agent.next()).entries('5', [entry('a')], headers as Record<string, string>)
    expect(await told(1)).toMatchObject({ note: expect.stringMatching(expected) })
  })

  it('is noted: that nobody may be seen without a token', async () => {
    const headers = { 'X-Consul-Default-Acl-Policy': 'deny' }
    begin()
    ;(await agent.next()).entries('5', [], headers)
    expect(await told(1)).toMatchObject({ endpoints: [], note: expect.stringContaining('no token was sent') })
    ;(await agent.next()).entries('6', [entry('a')], headers)
    expect(await told(2)).not.toHaveProperty('note')
  })

  it('is an error where not one entry can be read', async () => {
    begin()
    ;(await agent.next()).entries('5', [{ foo: 1 }, null])
    expect(await told(1)).toMatchObject({ type: 'error', error: { code: 'REPLY_INVALID' } })
  })

  it('is noted: entries that are no endpoints', async () => {
    begin()
    ;(await agent.next()).entries('5', [
      entry('a'),
      entry('b', { Port: 0 }),
      entry('c', { Port: 'http' }),
      null,
      entry('a'),
    ])
    const update = await told(1)
    expect(ids(update)).toEqual(['node-1/a'])
    expect(update).toMatchObject({ note: 'left out: 2 with no port, 1 with no id, 1 with an id that is there already' })
  })
})

describe('close', () => {
  it('breaks off a question that waits, and tells nothing more', async () => {
    begin()
    ;(await agent.next()).entries('5', [entry('a')])
    await told(1)
    await agent.next()
    await watch?.close()
    watch?.refresh()
    await clock.advance(120_000)
    expect(heard.length).toBe(1)
    expect(agent.questions.length).toBe(2)
  })
})
