// Contracts between services of a crash test: the proxy and the server adapter of production, over the network of the run.
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type MemoryTx, memoryRpiTransport } from '../../../src/adapters/memory/index.ts'
import { inherited, withInherited } from '../../../src/core/async-context.ts'
import { createError } from '../../../src/errors/classes.ts'
import {
  type Contract,
  createProxy,
  createServerAdapter,
  defineContract,
  isFailure,
  type ProxyOptions,
} from '../../../src/rpi/index.ts'
import {
  type CrashFaultKind,
  type CrashMemoryDatabase,
  type CrashService,
  type CrashTestFailure,
  type CrashTestOptions,
  type CrashWorld,
  crashTest,
} from '../../../src/testing/crash-test/index.ts'

const Bank = defineContract('bank', {
  charge: {
    http: 'POST /charges/:order',
    idempotent: true,
    input: z.object({ order: z.string(), cents: z.number() }),
    output: z.object({ paid: z.number() }),
    failures: { broke: z.object({ missing: z.number() }) },
  },
})
type Ops = typeof Bank extends Contract<infer O> ? O : never
type Headers = Readonly<Record<string, string>>
type Answer = { readonly paid: number }
type Charge = (own: CrashService, done: () => void, fail: (missing: number) => never) => Promise<Answer> | Answer

const TRACE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
const ONCE: Partial<ProxyOptions<Ops>> = { retry: false, deadlineMs: 1_000 }
const told = ({ code, effect, service }: { code: string; effect: string; service?: string }): string =>
  `${code} ${effect} ${service}`

/** What a client is told over many schedules, and how often the bank had done it then. */
async function outcomesOf(kinds: readonly CrashFaultKind[], charge: Charge): Promise<readonly string[]> {
  const seen = new Set<string>()
  await crashTest(
    (world) => {
      const facts = { done: 0, told: 'nothing' }
      world.service('money', (own) => {
        const handlers = {
          charge: (_: unknown, { fail }: { fail(name: 'broke', data: { missing: number }): never }) =>
            charge(
              own,
              () => void facts.done++,
              (missing) => fail('broke', { missing }),
            ),
        }
        own.serve(createServerAdapter(Bank, handlers, { basePath: '/api', ...own.options }))
      })
      world.client('customer', async (own) => {
        const bank = createProxy(Bank, { transport: own.rpi, ...own.options, ...ONCE })
        facts.told = await bank.charge({ order: 'A-1', cents: 5 }).then(
          ({ paid }) => `paid ${paid}`,
          (error) =>
            isFailure(error, Bank, 'charge', 'broke') ? `broke, ${error.details.missing} missing` : told(error),
        )
      })
      return facts
    },
    (facts) => void seen.add(`${facts.told}, done ${facts.done}`),
    { kinds, schedules: 200 },
  )
  return [...seen].sort()
}

const failureOf = async <F>(
  system: (world: CrashWorld) => F,
  invariant: (facts: F) => void,
  options: CrashTestOptions<F> = {},
): Promise<CrashTestFailure> => {
  const failure: unknown = await crashTest(system, invariant, options).then(
    () => undefined,
    (error: unknown) => error,
  )
  expect((failure as Error | undefined)?.name, String(failure)).toBe('CrashTestFailure')
  return failure as CrashTestFailure
}

const inSteps: Charge = async (own, done) => {
  await own.step('write', done)
  return { paid: 5 }
}
const atOnce: Charge = (_, done) => {
  done()
  return { paid: 5 }
}

describe('a call of a contract', () => {
  it('is answered', async () => {
    expect(await outcomesOf(['delay'], inSteps)).toEqual(['paid 5, done 1'])
  })

  it('is refused, and then nothing was done', async () => {
    expect(await outcomesOf(['refused'], atOnce)).toEqual(['CONNECTION_REFUSED none bank, done 0', 'paid 5, done 1'])
  })

  it('loses its answer, and then it was done', async () => {
    expect(await outcomesOf(['lost-reply'], atOnce)).toEqual(['CONNECTION_LOST unknown bank, done 1', 'paid 5, done 1'])
  })

  it('is cut off before or after the work, where the service dies', async () => {
    expect(await outcomesOf(['crash'], inSteps)).toEqual([
      'CONNECTION_LOST unknown bank, done 0',
      'CONNECTION_LOST unknown bank, done 1',
      'paid 5, done 1',
    ])
  })

  it('takes too long where the service stands still, and the work is done all the same', async () => {
    expect(await outcomesOf(['pause'], inSteps)).toEqual(['DEADLINE_EXCEEDED unknown bank, done 1', 'paid 5, done 1'])
  })

  it('brings a declared failure', async () => {
    expect(await outcomesOf(['delay'], (_, __, fail) => fail(3))).toEqual(['broke, 3 missing, done 0'])
  })

  it.each([
    ['NOT_FOUND', () => createError({ code: 'NOT_FOUND' })],
    ['UNAVAILABLE', () => createError({ code: 'UNAVAILABLE', effect: 'none' })],
    ['SERVER_ERROR', () => new TypeError('x is undefined')],
  ] as const)('brings the error of a handler as it comes by the wire of HTTP: %s', async (code, error) => {
    const charge = (): never => {
      throw error()
    }
    const wire = memoryRpiTransport(createServerAdapter(Bank, { charge }))
    const overHttp = await createProxy(Bank, { transport: wire, ...ONCE })
      .charge({ order: 'A-1', cents: 5 })
      .catch(told)
    expect(overHttp).toContain(code)
    expect(await outcomesOf(['delay'], charge)).toEqual([`${overHttp}, done 0`])
  })

  it('inherits what the headers say, and nothing else', async () => {
    const Inner = defineContract('inner', { ask: { output: z.number() } })
    const seen: unknown[] = []
    const system = (world: CrashWorld): void => {
      world.service('inner', (own) => {
        const ask = (
          _: undefined,
          { headers, deadline }: { headers: Headers; deadline: { remainingMs(): number } },
        ) => {
          seen.push([headers['x-secret'], headers['traceparent'], deadline.remainingMs() <= 400, inherited()?.cause])
          return 1
        }
        own.serve(createServerAdapter(Inner, { ask }, own.options))
      })
      world.service('bank', (own) => {
        const inner = createProxy(Inner, { transport: own.rpi, ...own.options })
        own.serve(createServerAdapter(Bank, { charge: async () => ({ paid: await inner.ask() }) }, own.options))
      })
      world.client('customer', async (own) => {
        const bank = createProxy(Bank, { transport: own.rpi, ...own.options, deadlineMs: 400 })
        const headers = { 'x-secret': 'mine', traceparent: TRACE }
        const cause = { id: 'not theirs' }
        await withInherited({ cause }, () => bank.charge({ order: 'A-1', cents: 5 }, { headers }))
      })
    }
    await crashTest(system, () => undefined, { schedules: 1, faults: 0 })
    expect(seen).not.toEqual([])
    for (const each of seen) expect(each).toEqual([undefined, TRACE, true, undefined])
  })

  it('reaches each of those who serve it in turn', async () => {
    await crashTest(
      (world) => {
        const by: string[] = []
        for (const name of ['one', 'two'])
          world.service(name, (own) => {
            const charge = (): Answer => {
              by.push(name)
              return { paid: 1 }
            }
            own.serve(createServerAdapter(Bank, { charge }, own.options))
          })
        world.client('customer', async (own) => {
          const bank = createProxy(Bank, { transport: own.rpi, ...own.options })
          for (const order of ['a', 'b', 'c', 'd']) await bank.charge({ order, cents: 1 })
        })
        return by
      },
      (by) => expect([...by].sort()).toEqual(['one', 'one', 'two', 'two']),
      { schedules: 3, faults: 0 },
    )
  })

  it('is a mistake of the test where nobody serves the contract', async () => {
    const system = (world: CrashWorld): void => {
      world.service('shop', () => undefined)
      world.client('customer', (own) =>
        createProxy(Bank, { transport: own.rpi, ...own.options }).charge({ order: 'A', cents: 1 }),
      )
    }
    await expect(crashTest(system, () => undefined)).rejects.toThrow('nobody serves bank')
  })

  it('refuses what streams, and what is no server', async () => {
    const Feed = defineContract('feed', { all: { input: z.number(), streaming: 'client' } })
    const seen: unknown[] = []
    await crashTest(
      (world) => {
        world.service('feed', (own) => {
          expect(() => own.serve({} as never)).toThrow('createServerAdapter')
          own.serve(createServerAdapter(Feed, { all: () => undefined }, own.options))
        })
        world.client('customer', async (own) => {
          const feed = createProxy(Feed, { transport: own.rpi, ...own.options })
          seen.push(await feed.all([1]).catch(told))
        })
      },
      () => undefined,
      { schedules: 1, faults: 0 },
    )
    expect(seen[0]).toBe('CAPABILITY_MISSING none feed')
  })
})

describe('a proxy that tries again, and an answer that is lost', () => {
  // The contract calls it idempotent, so that the proxy may try again. To make it so is for the service.
  const system =
    (kept: boolean) =>
    (world: CrashWorld): CrashMemoryDatabase => {
      const accounts = world.database('accounts')
      world.service('bank', (own) => {
        const store = own.store(accounts)
        const charge = ({ order, cents }: { order: string; cents: number }, tx: MemoryTx): Answer => {
          tx.set(order, Number(tx.get(order) ?? 0) + cents)
          return { paid: cents }
        }
        own.serve(
          kept
            ? createServerAdapter(
                Bank,
                { charge: (input, { tx }) => charge(input, tx) },
                { idempotency: store, ...own.options },
              )
            : createServerAdapter(
                Bank,
                { charge: (input) => store.transaction(async (tx) => charge(input, tx)) },
                own.options,
              ),
        )
      })
      world.client('customer', async (own) => {
        const bank = createProxy(Bank, { transport: own.rpi, ...own.options, retry: { attempts: 3 } })
        await bank.charge({ order: 'A-1', cents: 5 }, { idempotencyKey: 'A-1' }).catch(() => undefined)
      })
      return accounts
    }
  const once = (accounts: CrashMemoryDatabase): void => {
    expect(accounts.get('A-1') ?? 5, 'charged').toBe(5)
  }

  it('charges twice where nothing keeps the answer: found, with the fault and the line of the call', async () => {
    const failure = await failureOf(system(false), once)
    expect(failure.message).toContain('charged')
    expect(failure.story).toContain('contracts.test.ts:')
    expect(failure.story).toMatch(/call bank\.charge/)
    expect((await failureOf(system(false), once, { seed: failure.seed, schedules: 1 })).story).toBe(failure.story)
  })

  it('charges once where the answer is kept by its key', async () => {
    const report = await crashTest(system(true), once, { schedules: 300 })
    expect(report.faults).toBeGreaterThan(300)
  })
})
