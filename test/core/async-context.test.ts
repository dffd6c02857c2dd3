import { AsyncLocalStorage } from 'node:async_hooks'
import { describe, expect, test, vi } from 'vitest'
import { detached, inherited, withInherited } from '../../src/core/async-context.ts'
import { deadlineAt } from '../../src/core/deadline.ts'
import { fakeClock } from '../../src/testing/fake-clock.ts'

const clock = fakeClock()
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('what is inherited', () => {
  test('is nothing outside, and what was given inside, over every await', async () => {
    expect(inherited()).toBeUndefined()
    const deadline = deadlineAt(100, clock)
    const { signal } = new AbortController()
    await withInherited({ deadline, signal, headers: { traceparent: 'x' } }, async () => {
      await turn()
      expect(inherited()).toEqual({ deadline, signal, headers: { traceparent: 'x' } })
    })
    expect(inherited()).toBeUndefined()
  })

  test('gives back what the work gives, also when it throws', async () => {
    expect(withInherited({}, () => 1)).toBe(1)
    expect(() =>
      withInherited({}, () => {
        throw new Error('mine')
      }),
    ).toThrow('mine')
    expect(inherited()).toBeUndefined()
  })

  test('a deadline is only ever tightened', () => {
    const [soon, late] = [deadlineAt(100, clock), deadlineAt(500, clock)]
    withInherited({ deadline: soon }, () => {
      withInherited({ deadline: late }, () => expect(inherited()?.deadline).toBe(soon))
      withInherited({}, () => expect(inherited()?.deadline).toBe(soon))
    })
    withInherited({ deadline: late }, () =>
      withInherited({ deadline: soon }, () => expect(inherited()?.deadline).toBe(soon)),
    )
  })

  test('what an inner one does not say, also as undefined, stays', () => {
    const { signal } = new AbortController()
    withInherited({ signal, headers: { a: '1' } }, () =>
      withInherited({ signal: undefined, headers: undefined, deadline: undefined }, () =>
        expect(inherited()).toMatchObject({ signal, headers: { a: '1' } }),
      ),
    )
  })

  test('calls side by side do not mix', async () => {
    const seen = await Promise.all(
      [1, 2, 3].map((at) =>
        withInherited({ deadline: deadlineAt(at, clock) }, async () => {
          for (let round = 0; round < at; round++) await turn()
          return inherited()?.deadline?.at
        }),
      ),
    )
    expect(seen).toEqual([1, 2, 3])
  })

  test('one storage a process, whatever the number of copies', () => {
    const shared = (globalThis as Record<symbol, AsyncLocalStorage<unknown> | undefined>)[
      Symbol.for('fairlead.inherited')
    ]
    const deadline = deadlineAt(100, clock)
    expect(shared?.run({ deadline }, () => inherited()?.deadline)).toBe(deadline)
  })
})

describe('detached', () => {
  test('leaves deadline, headers and signal of the caller behind, also after an await', async () => {
    await withInherited({ deadline: deadlineAt(100, clock) }, async () => {
      await detached(async () => {
        expect(inherited()).toBeUndefined()
        await turn()
        expect(inherited()).toBeUndefined()
      })
      expect(inherited()?.deadline?.at).toBe(100)
    })
  })

  test("leaves the context of a user's own storage behind", async () => {
    const mine = new AsyncLocalStorage<string>()
    await mine.run('request 1', async () => {
      await turn()
      expect(detached(() => mine.getStore())).toBeUndefined()
      expect(mine.getStore()).toBe('request 1')
    })
  })

  test('leaves it behind also where fairlead was first loaded while a request was served', async () => {
    vi.resetModules()
    await withInherited({ deadline: deadlineAt(100, clock) }, async () => {
      const late: typeof import('../../src/core/async-context.ts') = await import('../../src/core/async-context.ts')
      expect(late.detached).not.toBe(detached)
      expect(late.inherited()?.deadline?.at).toBe(100)
      expect(late.detached(() => late.inherited())).toBeUndefined()
    })
  })

  test('gives back what the work gives, and throws what it throws', () => {
    expect(detached(() => 1)).toBe(1)
    expect(() =>
      detached(() => {
        throw new Error('mine')
      }),
    ).toThrow('mine')
  })
})
