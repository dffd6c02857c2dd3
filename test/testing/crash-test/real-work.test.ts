// Real asynchronous work that is no step: virtual time would go on beside it. A crash test says so, and which line it is.
import { createHmac, randomBytes, scrypt, scryptSync } from 'node:crypto'
import { lookup } from 'node:dns'
import { readFile, readFileSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import { createGzip, gzip, gzipSync } from 'node:zlib'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { queue } from '../../../src/messaging/channel.ts'
import { createConsumer } from '../../../src/messaging/consumer/index.ts'
import { createPublisher } from '../../../src/messaging/publisher.ts'
import {
  type CrashService,
  type CrashTestOptions,
  type CrashWorld,
  crashTest,
} from '../../../src/testing/crash-test/index.ts'

type Work = (own: CrashService) => unknown

const HERE = new URL(import.meta.url).pathname
const Jobs = queue('jobs', { one: z.object({}) })

const told = async (system: (world: CrashWorld) => void, options: CrashTestOptions<void> = {}): Promise<string> =>
  await crashTest(system, () => undefined, { schedules: 5, ...options }).then(
    () => 'nothing',
    (error: { code?: string; message: string }) => `${error.code}: ${error.message}`,
  )

/** In what answers a client. */
const served =
  (work: Work) =>
  (world: CrashWorld): void => {
    world.service('shop', (own) => own.serve('place', async () => void (await work(own))))
    world.client('customer', (own) => own.call('shop', 'place').catch(() => undefined))
  }

/** In what handles a message. */
const handled =
  (work: Work) =>
  (world: CrashWorld): void => {
    world.service('shop', async (own) => {
      const { transport, options } = own
      const handlers = { one: async () => void (await work(own)) }
      await createConsumer({ transport, channel: Jobs, handlers, ...options }).start()
    })
    world.client('customer', async ({ transport, clock, random }) => {
      await createPublisher({ transport, source: '/customer', clock, random }).result(Jobs, { type: 'one', data: {} })
    })
  }

const REAL: Readonly<Record<string, readonly [type: string, work: Work]>> = {
  'a file, by callback': ['FSREQCALLBACK', () => promisify(readFile)(HERE)],
  'a file, by promise': ['FSREQPROMISE', () => stat(HERE)],
  zlib: ['ZLIB', () => promisify(gzip)('text')],
  'crypto on its threads': ['SCRYPTREQUEST', () => promisify(scrypt)('secret', 'salt', 16)],
  'chance on its threads': ['RANDOMBYTESREQUEST', () => promisify(randomBytes)(16)],
  'the lookup of a name': ['GETADDRINFOREQWRAP', () => promisify(lookup)('localhost')],
}

const AT_ONCE: Readonly<Record<string, Work>> = {
  'a file': () => readFileSync(HERE),
  zlib: () => gzipSync('text'),
  crypto: () => [
    scryptSync('secret', 'salt', 16),
    randomBytes(16),
    createHmac('sha256', 'key').update('text').digest(),
  ],
  'a copy': () => structuredClone({ a: new Map([[1, 2]]) }),
}

describe.each([
  ['what answers a client', served],
  ['what handles a message', handled],
] as const)('real work in %s', (_, system) => {
  it.each(Object.entries(REAL))('is refused with its line: %s', async (_, [type, work]) => {
    const message = await told(system((own) => work(own)))
    expect(message).toMatch(/^PROGRAMMING_ERROR: .*real work is begun outside of a step/)
    expect(message).toContain(type)
    expect(message).toContain('real-work.test.ts:')
    expect(message).toContain('own.step(name, work, { real: true })')
  })

  it.each(Object.entries(REAL))('is no trouble in a step that says so: %s', async (_, [, work]) => {
    expect(await told(system((own) => own.step('work', () => work(own), { real: true })))).toBe('nothing')
  })

  it.each(Object.entries(AT_ONCE))('is not what is done at once: %s', async (_, work) => {
    expect(await told(system((own) => work(own)))).toBe('nothing')
  })

  it('is refused in a step that does not say so', async () => {
    expect(await told(system((own) => own.step('work', () => stat(HERE))))).toContain('FSREQPROMISE')
  })

  it('may be left alone, where nothing goes on from it', async () => {
    const log: Work = () => void stat(HERE).catch(() => undefined)
    expect(await told(system(log))).toContain('FSREQPROMISE')
    expect(await told(system(log), { realWork: 'ignored' })).toBe('nothing')
  })
})

describe('real work of others', () => {
  it('is not taken for the run’s', async () => {
    let over = false
    const others = (async () => {
      while (!over) await stat(HERE)
    })()
    expect(
      await told(
        // So many that the event loop has its turn in the middle of it.
        served(async (own) => {
          for (let slept = 0; slept < 700; slept++) await own.sleep(1)
        }),
        { schedules: 5 },
      ),
    ).toBe('nothing')
    over = true
    await others
  })

  it('is what sets the system up', async () => {
    const message = await crashTest(
      async (world) => {
        await stat(HERE)
        world.service('shop', (own) => own.step('work', () => undefined))
      },
      async () => void (await stat(HERE)),
      { schedules: 5 },
    )
    expect(message.schedules).toBe(5)
  })
})

it('knows the two ways', async () => {
  const wrong = { realWork: 'forbidden' } as unknown as CrashTestOptions<void>
  await expect(
    crashTest(
      () => undefined,
      () => undefined,
      wrong,
    ),
  ).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
})

describe('a step that says that it is real', () => {
  afterEach(() => void vi.restoreAllMocks())

  it('may use what was made outside of it', async () => {
    const packed = served(async (own) => {
      const stream = createGzip()
      await own.step('pack', () => new Promise((done) => stream.on('end', done).resume().end('text')), { real: true })
    })
    expect(await told(packed)).toBe('nothing')
  })

  it('and waits for what is not, is told so', async () => {
    const now = performance.now.bind(performance)
    let asked = 0
    vi.spyOn(performance, 'now').mockImplementation(() => now() + asked++ * 1_000)
    const message = await told(served((own) => own.step('wait', () => own.sleep(10), { real: true })))
    expect(message).toMatch(/^PROGRAMMING_ERROR: .*a step with { real: true } has not ended after 20 s/)
  })
})
