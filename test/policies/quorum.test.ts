import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { CallContext } from '../../src/core/context.ts'
import type { Resolver } from '../../src/core/contracts/balancer.ts'
import type { RpiReply, RpiTransport } from '../../src/core/contracts/rpi.ts'
import { type Layer, refuse } from '../../src/core/handler.ts'
import { createDiscovery } from '../../src/discovery/discovery.ts'
import { createError } from '../../src/errors/classes.ts'
import { pick } from '../../src/policies/pick.ts'
import { type QuorumOptions, quorum } from '../../src/policies/quorum.ts'
import { retry } from '../../src/policies/retry.ts'
import { standard } from '../../src/policies/standard.ts'
import { createProxy, defineContract } from '../../src/rpi/index.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
import { seededRandom } from '../../src/testing/seeded-random.ts'
import { toldSource } from '../discovery/support.ts'
import { type Deferred, deferred, failure, outcome, pipelineOf, thrownBy, watch } from './kit.ts'

const endpoints = (...ids: readonly string[]): Resolver => ({
  service: 'stock',
  acquire(context) {
    const id = ids.find((each) => !context?.avoid?.has(each)) ?? (ids[0] as string)
    return { endpoint: { id, addresses: [] }, report: () => undefined }
  },
  untried: (avoid) => ids.filter((id) => !avoid.has(id)).length,
  refresh: () => undefined,
  close: async () => undefined,
})

/** Voters that say these things, without anybody around. */
function alone(options: QuorumOptions, says: readonly unknown[]): () => Promise<unknown> {
  const left = [...says]
  const handler = async (): Promise<unknown> => {
    const what = left.shift()
    if (what instanceof Error) throw what
    return what
  }
  return pipelineOf([quorum(options)], handler, { clock: fakeClock() })
}

/** A real resolver, whose source says what a test says. */
function discovered() {
  const clock = fakeClock({ now: 1_000 })
  const source = toldSource()
  const discovery = createDiscovery({ source, clock, random: seededRandom(1), debounceMs: 0 })
  const resolver = discovery.resolver('stock')
  resolver.untried(new Set())
  return { clock, source, discovery, resolver }
}

interface Asked extends Deferred<any> {
  readonly context: CallContext
  aborted: unknown
}

function bench(options: QuorumOptions, ids: readonly string[] = ['a', 'b', 'c'], setting: object = {}) {
  const clock = fakeClock()
  const asked: Asked[] = []
  const resolver = endpoints(...ids)
  const call = pipelineOf<unknown, any>(
    [retry({ clock, backoffMs: 0, random: () => 0 }), quorum(options), pick(resolver, { clock })],
    (_, context) => {
      const each: Asked = { ...deferred<any>(), context, aborted: undefined }
      asked.push(each)
      context.onAbort((reason) => {
        each.aborted = reason
        each.reject(reason)
      })
      return each.promise
    },
    { clock, resolver, ...setting },
  )
  return { clock, asked, call }
}

const ids = (asked: readonly Asked[]): unknown => asked.map(({ context }) => context.endpoint?.id)
const turn = async (): Promise<void> => {
  await new Promise((resolve) => setImmediate(resolve))
}

describe('quorum', () => {
  test('asks so many endpoints at once and answers with what enough of them say', async () => {
    const { asked, call } = bench({ of: 3 })
    const answer = watch(call())
    expect(ids(asked)).toEqual(['a', 'b', 'c'])
    asked[0]?.resolve({ level: 1 })
    await turn()
    expect(answer.now).toBe('pending')
    asked[2]?.resolve({ level: 1 })
    await turn()
    expect(answer.now).toEqual({ level: 1 })
    expect(asked[1]?.aborted).toMatchObject({ code: 'CANCELLED' })
    // Whose answer it is may still be streaming.
    expect(asked[0]?.aborted).toBeUndefined()
  })

  test('one that is wrong is outvoted, one that fails is passed over', async () => {
    for (const odd of [(each: Asked) => each.resolve(666), (each: Asked) => each.reject(new Error('down'))]) {
      const { asked, call } = bench({ of: 3, agree: 2 })
      const answer = watch(call())
      odd(asked[0] as Asked)
      asked[1]?.resolve(5)
      asked[2]?.resolve(5)
      await turn()
      expect(answer.now).toBe(5)
    }
  })

  test('says that they disagree, and how, as soon as nobody can win any more', async () => {
    const { asked, call } = bench({ of: 4, agree: 3 }, ['a', 'b', 'c', 'd'])
    const error = failure(call())
    asked[0]?.resolve(1)
    asked[1]?.resolve(2)
    asked[2]?.resolve(1)
    await turn()
    asked[3]?.resolve(2)
    expect(await error).toMatchObject({ code: 'DISAGREEMENT', retryable: false, details: { votes: [2, 2] } })
    const early = bench({ of: 3, agree: 3 })
    const told = watch(early.call())
    early.asked[0]?.resolve(1)
    early.asked[1]?.resolve(2)
    await turn()
    expect(told.now).toBe('DISAGREEMENT')
    expect(early.asked[2]?.aborted).toMatchObject({ code: 'CANCELLED' })
  })

  test('too many failures are a failure, which retry may try again with the same endpoints', async () => {
    const { clock, asked, call } = bench({ of: 3, agree: 2 })
    const answer = watch(call())
    for (const each of asked.slice(0, 2)) each.reject(createError({ code: 'CONNECTION_LOST' }))
    await clock.advance(1)
    expect(ids(asked)).toEqual(['a', 'b', 'c', 'a', 'b', 'c'])
    asked[3]?.resolve(7)
    asked[4]?.resolve(7)
    await turn()
    expect(answer.now).toBe(7)
  })

  test('a declared failure is an answer', async () => {
    const { asked, call } = bench({ of: 3 })
    const error = failure(call())
    const none = () => createError({ code: 'DECLARED_FAILURE', failure: 'SoldOut', details: { sku: 'A' } })
    asked[0]?.reject(none())
    asked[1]?.resolve({ level: 4 })
    asked[2]?.reject(none())
    expect(await error).toMatchObject({ code: 'DECLARED_FAILURE', failure: 'SoldOut' })
  })

  test('through a proxy: a declared failure of two is an answer, and every field of an output counts', async () => {
    const answers: RpiReply[] = []
    const transport: RpiTransport = {
      name: 'told',
      pick: () => pick(endpoints('a', 'b', 'c')),
      resolver: () => endpoints('a', 'b', 'c'),
      invoke: async () => answers.shift() as RpiReply,
      close: async () => undefined,
    }
    const output = z.object({ output: z.number(), level: z.number() })
    const Stock = defineContract('stock', {
      read: { http: 'GET /stock', output, failures: { SoldOut: z.object({ sku: z.string() }) } },
    })
    const stock = createProxy(Stock, { transport, quorum: { of: 3, vote: (answer) => answer }, retry: false })
    const soldOut = { output: { sku: 'A' }, failure: 'SoldOut' }
    answers.push(soldOut, { output: { output: 1, level: 1 } }, soldOut)
    expect(await failure(stock.read())).toMatchObject({ code: 'DECLARED_FAILURE', failure: 'SoldOut' })
    const plain = createProxy(Stock, { transport, quorum: { of: 3 }, retry: false })
    answers.push(...[1, 2, 2].map((level) => ({ output: { output: 1, level } })))
    expect(await plain.read()).toEqual({ output: 1, level: 2 })
  })

  test('compares what the answer says, not its headers; or what `vote` gives', async () => {
    const reply = (output: unknown, date: string, failure?: string) => ({ output, headers: { date }, failure })
    const plain = bench({ of: 2, agree: 2 })
    const answer = watch(plain.call())
    plain.asked[0]?.resolve(reply({ level: 1 }, 'mon'))
    plain.asked[1]?.resolve(reply({ level: 1 }, 'tue'))
    await turn()
    expect(answer.now).toMatchObject({ output: { level: 1 } })
    const declared = bench({ of: 2, agree: 2 })
    const told = watch(declared.call())
    declared.asked[0]?.resolve(reply({ level: 1 }, 'mon'))
    declared.asked[1]?.resolve(reply({ level: 1 }, 'mon', 'SoldOut'))
    await turn()
    expect(told.now).toBe('DISAGREEMENT')
    const own = bench({ of: 2, agree: 2, vote: ({ level }) => level > 0 })
    const voted = watch(own.call())
    own.asked[0]?.resolve({ level: 3 })
    own.asked[1]?.resolve({ level: 9 })
    await turn()
    expect(voted.now).toEqual({ level: 3 })
  })

  test('a vote that throws is a failure of that one', async () => {
    const { asked, call } = bench({ of: 3, agree: 2, vote: ({ level }) => level.toFixed() })
    const answer = watch(call())
    asked[0]?.resolve({})
    asked[1]?.resolve({ level: 1 })
    asked[2]?.resolve({ level: 1 })
    await turn()
    expect(answer.now).toEqual({ level: 1 })
  })

  test('fails with fewer endpoints than have to agree, and asks fewer than `of` where there are no more', async () => {
    const none = bench({ of: 3, agree: 2 }, ['a'])
    const error = failure(none.call())
    await turn()
    await none.clock.advance(1)
    expect(await error).toMatchObject({
      code: 'NO_ENDPOINT',
      message: expect.stringContaining('2 endpoints have to agree, and only 1 can be asked'),
      cause: expect.objectContaining({ code: 'NO_ENDPOINT' }),
      // The one has been asked.
      effect: 'unknown',
    })
    expect(new Set(none.asked.map(({ context }) => context.endpoint?.id))).toEqual(new Set(['a']))
    expect(none.asked.every(({ aborted }) => aborted !== undefined)).toBe(true)
    const two = bench({ of: 3, agree: 2 }, ['a', 'b'])
    void outcome(two.call())
    expect(ids(two.asked)).toEqual(['a', 'b'])
  })

  test('an endpoint that answers for two has one vote, under a pick of somebody else', async () => {
    const clock = fakeClock()
    const same: Layer = (next) => (request, context) => {
      context.endpoint = { id: 'a', addresses: [] }
      return next(request, context)
    }
    const call = pipelineOf([quorum({ of: 3 }), same], async () => 'same', { clock })
    expect(await outcome(call())).toBe('DISAGREEMENT')
  })

  test('an endpoint is asked once, whoever is hoped for: its lease for a second voter is given back', async () => {
    const clock = fakeClock()
    const reports: unknown[] = []
    const resolver: Resolver = {
      ...endpoints('a'),
      acquire: () => ({ endpoint: { id: 'a', addresses: [] }, report: ({ kind }) => void reports.push(kind) }),
      untried: () => 3,
    }
    let asked = 0
    const call = pipelineOf([quorum({ of: 3 }), pick(resolver, { clock })], async () => ++asked, { clock, resolver })
    expect(await outcome(call())).toBe('NO_ENDPOINT')
    expect([asked, reports]).toEqual([1, ['cancelled', 'cancelled', 'success']])
  })

  test('asks those that have failed: it answers as soon as they are well again', async () => {
    const { clock, source, discovery, resolver } = discovered()
    source.list('a', 'b', 'c')
    let well = false
    const call = pipelineOf(
      [quorum({ of: 3 }), pick(resolver, { clock })],
      () => (well ? Promise.resolve('same') : Promise.reject(createError({ code: 'SERVER_ERROR' }))),
      { clock, resolver },
    )
    for (let times = 0; times < 30; times++) {
      expect(await outcome(call())).toBe('SERVER_ERROR')
      await clock.advance(100)
    }
    expect(resolver.untried(new Set())).toBe(0)
    well = true
    expect(await outcome(call())).toBe('same')
    await discovery.close()
  })

  test('waits for the first word of discovery, and asks different endpoints then', async () => {
    const { clock, source, discovery, resolver } = discovered()
    const asked: unknown[] = []
    const call = pipelineOf(
      [quorum({ of: 3, agree: 3 }), pick(resolver, { clock })],
      async (_, context) => {
        asked.push(context.endpoint?.id)
        return 'same'
      },
      { clock, resolver },
    )
    const answer = watch(call())
    await clock.advance(10)
    expect(answer.now).toBe('pending')
    source.list('a', 'b', 'c')
    await clock.advance(0)
    expect(answer.now).toBe('same')
    expect(asked.sort()).toEqual(['a', 'b', 'c'])
    const { endpoints: figures = [] } = discovery.inspect('stock') ?? {}
    expect(figures.map(({ inFlight }) => inFlight)).toEqual([0, 0, 0])
    await discovery.close()
  })

  test('says of a failure what all of them may have done', async () => {
    const refused = () => createError({ code: 'CONNECTION_REFUSED' })
    const allOut = bench({ of: 3, agree: 3 })
    const early = failure(allOut.call())
    allOut.asked[0]?.reject(refused())
    for (let each = 0; each < 4; each++) {
      await turn()
      await allOut.clock.advance(1)
      allOut.asked.at(-3)?.reject(refused())
    }
    expect(await early).toMatchObject({ code: 'CONNECTION_REFUSED', effect: 'unknown' })
    const none = alone({ of: 2, agree: 1 }, [refused(), refused()])
    expect(await failure(none())).toMatchObject({ code: 'CONNECTION_REFUSED', effect: 'none' })
    const one = alone({ of: 3, agree: 2 }, [refused(), 'answer', createError({ code: 'CONNECTION_REFUSED' })])
    expect(await failure(one())).toMatchObject({ code: 'CONNECTION_REFUSED', effect: 'unknown' })
    const lost = alone({ of: 3, agree: 2 }, [refused(), createError({ code: 'CONNECTION_LOST' }), refused()])
    expect(await failure(lost())).toMatchObject({ code: 'CONNECTION_REFUSED', effect: 'unknown' })
  })

  test('what is not idempotent goes to one', async () => {
    const { asked, call } = bench({ of: 3 }, ['a', 'b', 'c'], { idempotent: false })
    const answer = watch(call())
    expect(asked).toHaveLength(1)
    asked[0]?.resolve('done')
    await turn()
    expect(answer.now).toBe('done')
  })

  test('the caller ends all of them', async () => {
    const { asked, call } = bench({ of: 3 })
    const leaving = new AbortController()
    const answer = watch(call(undefined, { signal: leaving.signal }))
    leaving.abort('enough')
    await turn()
    expect(answer.now).toBe('CANCELLED')
    expect(asked.every(({ aborted }) => aborted !== undefined)).toBe(true)
  })

  test('a refusal of one is a failure of that one', async () => {
    const clock = fakeClock()
    let made = 0
    const call = pipelineOf(
      [quorum({ of: 2, agree: 1 })],
      () => (++made === 1 ? refuse(() => createError({ code: 'RATE_LIMITED' })) : Promise.resolve(made)),
      { clock },
    )
    expect(await call()).toBe(2)
  })

  test('refuses options that make no sense', () => {
    expect(thrownBy(() => quorum({ of: 1 })).message).toContain('quorum.of')
    expect(thrownBy(() => quorum({ of: 3, agree: 4 })).message).toContain('quorum.agree')
    expect(thrownBy(() => quorum({ of: 3, vote: 1 as never })).message).toContain('quorum.vote')
    expect(thrownBy(() => standard('stock', { quorum: 3 as never })).message).toContain('quorum')
  })

  test('stands before the pick', () => {
    const layers = standard('stock', { quorum: { of: 3 } }, pick(endpoints('a'))).layers({})
    expect(layers.map(({ layer }) => layer).slice(-3)).toEqual(['bulkhead', 'quorum', 'pick'])
  })
})
