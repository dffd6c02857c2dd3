// The shared rate limit against a real Redis: one limit for two processes, and a Redis that goes away and comes back.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { isFairleadError } from '../../../src/errors/base.ts'
import { type RateLimit, type RateLimitOptions, rateLimit } from '../../../src/policies/rate-limit.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'
import { contextOf, failure, heard } from '../../policies/call-bench.ts'
import { server } from '../../services/servers.ts'

const redis = server('redis') ?? { host: '', port: 0 }
const open: (() => unknown)[] = []

beforeAll(() => {
  if (redis.port === 0) throw new Error('Redis is not up: run test/services/up redis')
})
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

function clientAt(port: number = redis.port): Redis {
  const client = new Redis({ host: redis.host, port })
  client.on('error', () => {})
  open.push(() => client.disconnect())
  return client
}

function limitWith(
  client: Redis,
  options: Partial<RateLimitOptions<string>> & { readonly id?: string; readonly whenUnavailable?: 'refuse' } = {},
) {
  const clock: FakeClock = fakeClock()
  const { events, onEvent } = heard()
  const { id = randomUUID(), whenUnavailable, ...rest } = options
  const shared = { client, id, timeoutMs: 5_000, whenUnavailable }
  const limit: RateLimit = rateLimit({ limit: 3, perMs: 60_000, clock, onEvent, ...rest, shared })
  open.push(() => limit.close())
  const handler = limit(async () => 'out')
  const ask = async (request: string = 'A'): Promise<string> => {
    try {
      return (await handler(request, contextOf({ clock }).context)) as string
    } catch (error) {
      return isFairleadError(error) ? error.code : String(error)
    }
  }
  return { clock, limit, ask, events, handler }
}

interface Seen {
  readonly admitted: number
  readonly refused: number
  readonly unavailable: number
}

/** Runs two processes at the same time, and says how long from the first call to the last answer. */
async function twoProcesses(
  options: Readonly<Record<string, unknown>>,
): Promise<{ readonly seen: readonly Seen[]; readonly ms: number }> {
  const script = fileURLToPath(new URL('rate-limit-process.ts', import.meta.url))
  const started = await Promise.all(
    [1, 2].map(async () => {
      const child: ChildProcess = spawn(
        process.execPath,
        ['--import', 'tsx', script, JSON.stringify({ ...redis, ...options })],
        {
          stdio: ['pipe', 'pipe', 'inherit'],
        },
      )
      open.push(() => child.kill('SIGKILL'))
      const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
      await once(lines, 'line')
      return { child, lines }
    }),
  )
  const began = performance.now()
  const seen = await Promise.all(
    started.map(async ({ child, lines }) => {
      const answer = once(lines, 'line')
      child.stdin?.write('go\n')
      const [line] = await answer
      return JSON.parse(line) as Seen
    }),
  )
  return { seen, ms: performance.now() - began }
}

const sum = (seen: readonly Seen[], what: keyof Seen): number => seen.reduce((total, each) => total + each[what], 0)

describe('two processes share one limit', () => {
  test('exactly the limit is let out of both together, and both get some of it', async () => {
    const { seen } = await twoProcesses({ id: randomUUID(), limit: 200, perMs: 600_000, calls: 50, forMs: 60_000 })
    expect(sum(seen, 'admitted')).toBe(200)
    expect(sum(seen, 'refused')).toBe(602)
    expect(sum(seen, 'unavailable')).toBe(0)
    for (const { admitted } of seen) expect(admitted).toBeGreaterThan(0)
  })

  test('it is filled again each time, to the limit and no more', async () => {
    const [limit, perMs] = [40, 200]
    const { seen, ms } = await twoProcesses({ id: randomUUID(), limit, perMs, calls: 1e9, forMs: 1_500 })
    // Each filling is good for the limit. One is there at the start, and one may be due from before.
    expect(sum(seen, 'admitted')).toBeLessThanOrEqual(limit * (Math.floor(ms / perMs) + 2))
    expect(sum(seen, 'admitted')).toBeGreaterThanOrEqual(2 * limit)
    expect(sum(seen, 'unavailable')).toBe(0)
  })
})

describe('one process', () => {
  test('refuses beyond the limit, with a time to come again; keys and names are kept apart', async () => {
    const client = clientAt()
    const id = randomUUID()
    const one = limitWith(client, { id, key: (tenant) => tenant })
    const other = limitWith(client, { id, key: (tenant) => tenant })
    const stranger = limitWith(client, { key: (tenant) => tenant })
    expect([await one.ask('a'), await other.ask('a'), await one.ask('a')]).toEqual(['out', 'out', 'out'])
    expect([await one.ask('a'), await other.ask('a')]).toEqual(['RATE_LIMITED', 'RATE_LIMITED'])
    expect([await one.ask('b'), await stranger.ask('a')]).toEqual(['out', 'out'])
    await expect(one.handler('a', contextOf({ clock: one.clock }).context)).rejects.toMatchObject({
      retryAfterMs: 60_000,
    })
  })

  test('a hundred at once are exactly the limit, in few round trips', async () => {
    const { ask } = limitWith(clientAt(), { limit: 37 })
    const answers = await Promise.all(Array.from({ length: 100 }, () => ask()))
    expect(answers.filter((answer) => answer === 'out').length).toBe(37)
  })

  test('the one who starts last sets the limit', async () => {
    const client = clientAt()
    const id = randomUUID()
    const before = limitWith(client, { id, limit: 1, perMs: 4_000 })
    await before.ask()
    const after = limitWith(client, { id, limit: 5, perMs: 4_000 })
    await after.ask()
    await new Promise((resolve) => setTimeout(resolve, 6_000))
    const answers = await Promise.all(Array.from({ length: 20 }, () => after.ask()))
    expect(answers.filter((answer) => answer === 'out').length).toBe(5)
  })

  test('waits for the next filling where it may', async () => {
    const { clock, handler, ask } = limitWith(clientAt(), { limit: 1, perMs: 100, wait: { maxMs: 10_000 } })
    expect(await ask()).toBe('out')
    const waiting = handler('A', contextOf({ clock }).context)
    let done = false
    Promise.resolve(waiting).then(() => (done = true))
    // The clock of the layer is the test's, the windows are those of Redis: look again until one has passed there.
    for (let round = 0; round < 500 && !done; round++) {
      await clock.advance(10)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect(await waiting).toBe('out')
  })

  test('keys are bounded, also in Redis: what is not asked for goes away there', async () => {
    const client = clientAt()
    const id = randomUUID()
    const { ask, limit } = limitWith(client, { id, key: (tenant) => tenant, maxKeys: 3 })
    for (let index = 0; index < 10; index++) await ask(`t${index}`)
    const { describe: describeThing } = await import('../../../src/core/describe.ts')
    expect(describeThing(limit)).toMatchObject({ state: { keys: 3, available: true } })
    const keys = await client.keys(`b_${id}*`)
    expect(keys.length).toBeGreaterThan(0)
    for (const key of keys) expect(await client.pttl(key)).toBeGreaterThan(0)
  })

  test('the client that was given stays as it was, and our own connection ends with close', async () => {
    const client = clientAt()
    await client.ping()
    const before = {
      keys: Object.keys(client).sort(),
      errors: client.listenerCount('error'),
      ends: client.listenerCount('end'),
    }
    const { ask, limit } = limitWith(client)
    await ask()
    const ours = async (): Promise<number> =>
      String(await client.client('LIST')).split('name=fairlead-rate-limit ').length - 1
    expect(await ours()).toBe(1)
    await limit.close()
    await limit.close()
    await expect.poll(ours).toBe(0)
    expect(await ask()).toBe('SHUTDOWN')
    expect(await client.ping()).toBe('PONG')
    expect({
      keys: Object.keys(client).sort(),
      errors: client.listenerCount('error'),
      ends: client.listenerCount('end'),
    }).toEqual(before)
  })
})

/** A way to Redis that can be cut. */
async function cuttable(): Promise<{
  readonly port: number
  cut(): Promise<void>
  mend(): Promise<void>
  hold(): void
}> {
  const sockets = new Set<Socket>()
  let held = false
  const proxy = createServer((near) => {
    const far = connect(redis.port, redis.host)
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        near.destroy()
        far.destroy()
      })
    }
    near.on('data', (data) => held || far.write(data))
    far.on('data', (data) => near.write(data))
  })
  const listen = async (port: number): Promise<void> => {
    proxy.listen(port, '127.0.0.1')
    await once(proxy, 'listening')
  }
  const cut = async (): Promise<void> => {
    if (!proxy.listening) return
    const closed = once(proxy, 'close')
    proxy.close()
    for (const socket of sockets) socket.destroy()
    await closed
  }
  await listen(0)
  const { port } = proxy.address() as AddressInfo
  open.push(cut)
  return {
    port,
    cut,
    mend: async () => {
      held = false
      await listen(port)
    },
    hold: () => {
      held = true
    },
  }
}

describe('when Redis goes away', () => {
  async function afterCut(whenUnavailable?: 'refuse') {
    const way = await cuttable()
    const on = limitWith(clientAt(way.port), {
      limit: 3,
      ...(whenUnavailable === undefined ? {} : { whenUnavailable }),
    })
    expect(await on.ask()).toBe('out')
    await way.cut()
    return { ...on, way }
  }

  test('each process keeps to the limit alone, and to the shared one again when Redis is back', async () => {
    const { clock, ask, events, way } = await afterCut()
    expect([await ask(), await ask(), await ask(), await ask()]).toEqual(['out', 'out', 'out', 'RATE_LIMITED'])
    expect(events).toMatchObject([{ type: 'rate-limit', state: 'unavailable' }])
    await way.mend()
    await expect
      .poll(
        async () => {
          await clock.advance(1_000)
          await ask()
          return events.length
        },
        { timeout: 20_000 },
      )
      .toBe(2)
    expect(events[1]).toMatchObject({ type: 'rate-limit', state: 'shared' })
    await ask()
    expect(events.length).toBe(2)
  })

  test('a key that was first asked for while it was away is counted there afterwards', async () => {
    const way = await cuttable()
    const id = randomUUID()
    const { clock, ask, events } = limitWith(clientAt(way.port), { id, key: (tenant) => tenant, limit: 1 })
    expect(await ask('a')).toBe('out')
    await way.cut()
    expect(await ask('b')).toBe('out')
    await way.mend()
    await expect
      .poll(
        async () => {
          await clock.advance(1_000)
          await ask('b')
          return events.length
        },
        { timeout: 20_000 },
      )
      .toBe(2)
    expect((await clientAt().keys(`b_${id}:b_settings`)).length).toBe(1)
    expect(await ask('b')).toBe('RATE_LIMITED')
  })

  test('or refuses, if it was told to', async () => {
    const { ask, handler, clock } = await afterCut('refuse')
    expect(await ask()).toBe('RATE_LIMITED')
    await expect(handler('A', contextOf({ clock }).context)).rejects.toMatchObject({
      details: { reason: 'unavailable' },
    })
  })

  test('a Redis that hangs counts as away after the timeout, and callers may leave before', async () => {
    const way = await cuttable()
    const { clock, ask, handler, events } = limitWith(clientAt(way.port))
    expect(await ask()).toBe('out')
    way.hold()
    const slow = ask()
    const { context, abort } = contextOf({ clock })
    const left = handler('A', context)
    const gone = failure('CANCELLED')
    abort(gone)
    await expect(left).rejects.toBe(gone)
    await clock.advance(5_000)
    expect(await slow).toBe('out')
    expect(events).toMatchObject([{ state: 'unavailable' }])
    expect(clock.pending).toBe(0)
  })

  test('a killed connection is made again', async () => {
    const client = clientAt()
    const { clock, ask } = limitWith(client, { limit: 100 })
    expect(await ask()).toBe('out')
    const list = String(await client.client('LIST'))
    const ours = list.split('\n').filter((line) => line.includes('name=fairlead-rate-limit '))
    for (const line of ours)
      await client.client('KILL', 'ID', (/\bid=(\d+)/.exec(line) as RegExpExecArray)[1] as string)
    for (let round = 0; round < 5; round++) {
      expect(await ask()).toBe('out')
      await clock.advance(1_000)
    }
  })
})
