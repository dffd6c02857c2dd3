import { describe, expect, it } from 'vitest'
import type { SqlDriver } from '../../src/core/contracts/store.ts'
import { transactional } from '../../src/core/transactional.ts'

interface Tx {
  readonly log: string[]
}

/** A driver that writes down what it does, and hands out the same client again and again, as a pool does. */
function driver(commit: () => Promise<void> = async () => undefined) {
  const log: string[] = []
  const client: Tx = { log }
  const made: Pick<SqlDriver<Tx>, 'transaction' | 'isTransaction'> = {
    async transaction(work) {
      log.push('begin')
      try {
        const value = await work(client)
        await commit()
        log.push('commit')
        return value
      } catch (error) {
        log.push('rollback')
        throw error
      }
    },
    isTransaction: (candidate): candidate is Tx => candidate === client,
  }
  return { log, client, made }
}

describe('transactional', () => {
  it('runs hooks after the work and before the commit, in order, those noted by hooks too', async () => {
    const { log, made } = driver()
    const place = transactional(made)
    place.onCommitted(() => log.push('told'))
    const answer = await place.transaction(async (tx) => {
      place.beforeCommit(tx, async () => {
        log.push('first')
        place.beforeCommit(tx, async () => void log.push('third'))
      })
      place.beforeCommit(tx, async () => void log.push('second'))
      log.push('work')
      return 7
    })
    expect(answer).toBe(7)
    expect(log).toEqual(['begin', 'work', 'first', 'second', 'third', 'commit', 'told'])
  })

  it('runs a hook that is to be the last after all others, however they note each other', async () => {
    const { log, made } = driver()
    const place = transactional(made)
    await place.transaction(async (tx) => {
      const nested = (depth: number) => async (): Promise<void> => {
        log.push(`${depth}`)
        if (depth < 4) place.beforeCommit(tx, nested(depth + 1))
      }
      place.beforeCommit(tx, async () => void log.push('last'), 'last')
      place.beforeCommit(tx, nested(1))
    })
    expect(log).toEqual(['begin', '1', '2', '3', '4', 'last', 'commit'])
  })

  it('runs what the last one notes as well', async () => {
    const { log, made } = driver()
    const place = transactional(made)
    await place.transaction(async (tx) => {
      place.beforeCommit(tx, async () => void place.beforeCommit(tx, async () => void log.push('after')), 'last')
      place.beforeCommit(tx, async () => void log.push('very last'), 'last')
    })
    expect(log).toEqual(['begin', 'after', 'very last', 'commit'])
  })

  it('is undone by a hook that fails, and tells nobody', async () => {
    const { log, made } = driver()
    const place = transactional(made)
    const failure = new Error('no room')
    place.onCommitted(() => log.push('told'))
    const done = place.transaction(async (tx) => {
      place.beforeCommit(tx, () => Promise.reject(failure))
      place.beforeCommit(tx, async () => void log.push('after'))
    })
    await expect(done).rejects.toBe(failure)
    expect(log).toEqual(['begin', 'rollback'])
  })

  it('runs no hook when the work failed, and keeps none for the next transaction of the same client', async () => {
    const { log, made } = driver()
    const place = transactional(made)
    await expect(
      place.transaction(async (tx) => {
        place.beforeCommit(tx, async () => void log.push('hook'))
        throw new Error('changed my mind')
      }),
    ).rejects.toThrow('changed my mind')
    await place.transaction(async () => undefined)
    expect(log).toEqual(['begin', 'rollback', 'begin', 'commit'])
  })

  it('notes nothing on a transaction that it did not begin', async () => {
    const { client, made } = driver()
    const place = transactional(made)
    expect(place.beforeCommit(client, async () => undefined)).toBe(false)
    await place.transaction(async () => undefined)
    expect(place.beforeCommit(client, async () => undefined)).toBe(false)
  })

  it('refuses a hook while the commit is under way', async () => {
    let late: unknown
    let place = transactional(driver().made)
    const { client, made } = driver(async () => {
      try {
        place.beforeCommit(client, async () => undefined)
      } catch (error) {
        late = error
      }
    })
    place = transactional(made)
    await place.transaction(async () => undefined)
    expect(late).toMatchObject({ code: 'TRANSACTION_REQUIRED', effect: 'none' })
  })

  it('is committed, whatever a listener throws, and the others are told', async () => {
    const { log, made } = driver()
    const place = transactional(made)
    place.onCommitted(() => {
      throw new Error('the fault of a listener')
    })
    place.onCommitted((() => Promise.reject(new Error('of an async one'))) as () => void)
    place.onCommitted(() => log.push('told'))
    expect(await place.transaction(async () => 7)).toBe(7)
    expect(log).toEqual(['begin', 'commit', 'told'])
  })

  it('tells until told to stop', async () => {
    const { log, made } = driver()
    const place = transactional(made)
    const listener = (): void => void log.push('told')
    const stop = place.onCommitted(listener)
    place.onCommitted(listener)
    stop()
    await place.transaction(async () => undefined)
    expect(log).toEqual(['begin', 'commit', 'told'])
  })
})
