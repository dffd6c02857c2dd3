import { describe, expect, test } from 'vitest'
import type { CallContext } from '../../src/core/context.ts'
import type { Resolver } from '../../src/core/contracts/balancer.ts'
import { refuse } from '../../src/core/handler.ts'
import { createError } from '../../src/errors/classes.ts'
import { pick } from '../../src/policies/pick.ts'
import { type QuorumOptions, quorum } from '../../src/policies/quorum.ts'
import { retry } from '../../src/policies/retry.ts'
import { standard } from '../../src/policies/standard.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'
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

  test('does not begin with fewer endpoints than have to agree, and asks fewer than `of` where there are no more', async () => {
    const none = bench({ of: 3, agree: 2 }, ['a'])
    expect(await failure(none.call())).toMatchObject({
      code: 'NO_ENDPOINT',
      message: expect.stringContaining('only 1'),
    })
    expect(none.asked).toHaveLength(0)
    const two = bench({ of: 3, agree: 2 }, ['a', 'b'])
    void outcome(two.call())
    expect(ids(two.asked)).toEqual(['a', 'b'])
  })

  test('an endpoint that answers for two has one vote', async () => {
    const clock = fakeClock()
    const resolver: Resolver = { ...endpoints('a'), untried: () => 3 }
    const call = pipelineOf([quorum({ of: 3 }), pick(resolver, { clock })], async () => 'same', { clock, resolver })
    expect(await outcome(call())).toBe('DISAGREEMENT')
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
