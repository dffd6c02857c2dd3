// What a database of another kind can rely on: opened once, emptied for each run, real time is waited for, and a life that ends is told of.
import { describe, expect, it } from 'vitest'
import {
  type CrashTestFailure,
  type CrashWorld,
  crashTest,
  type DatabaseStage,
  type StageLife,
} from '../../../src/testing/crash-test/index.ts'

interface Rows {
  insert(row: string): Promise<void>
}

/** Rows that are written in real time. */
function slowStage(log: string[]): DatabaseStage<Rows, { rows(): readonly string[] }> {
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  return {
    name: 'slow',
    async open({ name }) {
      await turn()
      log.push(`open ${name}`)
      let rows: string[] = []
      return {
        async reset() {
          await turn()
          rows = []
          log.push('reset')
        },
        connect(life: StageLife) {
          life.onDeath(() => log.push(`${life.name} ended`))
          return {
            insert: (row) =>
              life.step(
                `${name}.insert`,
                async () => {
                  for (let turns = 0; turns < 5; turns++) await turn()
                  rows.push(`${row} at ${life.clock.now()}`)
                },
                { real: true, words: () => row },
              ),
          }
        },
        facts: { rows: () => rows },
        pending: async () => 0,
        close: () => void log.push('close'),
      }
    },
  }
}

const writing =
  (stage: () => DatabaseStage<Rows, { rows(): readonly string[] }>) =>
  (world: CrashWorld): { rows(): readonly string[] } => {
    const shop = world.database('shop', stage())
    world.service('shop', async (own) => {
      const { insert } = own.store(shop)
      expect(own.store(shop)).toBe(own.store(shop))
      await insert('a').catch(() => undefined)
    })
    return { rows: () => shop.facts.rows() }
  }

describe('a stage', () => {
  it('is opened once, emptied before each run, and closed at the end', async () => {
    const log: string[] = []
    await crashTest(
      writing(() => slowStage(log)),
      () => {},
      { schedules: 7, faults: 0 },
    )
    const runs = log.filter((line) => line === 'reset').length
    expect(runs).toBeGreaterThanOrEqual(7)
    expect(log[0]).toBe('open shop')
    expect(log.at(-1)).toBe('close')
    expect(log.filter((line) => /open|close/.test(line)).length).toBe(2)
    expect(log.filter((line) => line === 'shop ended').length).toBe(runs)
  })

  it('is closed where the test fails, too', async () => {
    const log: string[] = []
    const failing = crashTest(
      writing(() => slowStage(log)),
      () => {
        throw new Error('never right')
      },
    )
    await expect(failing).rejects.toThrow('never right')
    expect(log.at(-1)).toBe('close')
  })

  it('has virtual time stand still while it works', async () => {
    const seen = new Set<string>()
    await crashTest(
      writing(() => slowStage([])),
      ({ rows }) => {
        for (const row of rows()) seen.add(row)
      },
      { schedules: 5, faults: 0, kinds: ['crash'] },
    )
    expect([...seen]).toEqual(['a at 1'])
  })

  it('is emptied of what the last run has written', async () => {
    const counts = new Set<number>()
    await crashTest(
      writing(() => slowStage([])),
      ({ rows }) => void counts.add(rows().length),
      {
        schedules: 50,
        kinds: ['refused'],
      },
    )
    expect([...counts].sort()).toEqual([0, 1])
  })

  it('has its steps struck as those of any other', async () => {
    const failure = (await crashTest(
      writing(() => slowStage([])),
      ({ rows }) => expect(rows().length).toBeLessThan(2),
      { kinds: ['crash'] },
    ).catch((error: unknown) => error)) as CrashTestFailure
    expect(failure.story).toContain('shop is killed right after shop.insert (the 1st time)')
    expect(failure.story).toContain('shop#2  shop.insert 2: a')
  })

  it('must be the same kind for a name', async () => {
    let kind = 0
    const changing = (): DatabaseStage<Rows, { rows(): readonly string[] }> => ({
      ...slowStage([]),
      name: `slow-${kind++}`,
    })
    await expect(crashTest(writing(changing), () => {})).rejects.toThrow(
      /stage is "slow-1": the database shop was on slow-0/,
    )
  })
})
