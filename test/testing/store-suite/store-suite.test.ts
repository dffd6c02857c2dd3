// How the suite for stores is run: what is chosen, left out and reported, and that labs are closed whatever happens.
import { describe, expect, it } from 'vitest'
import {
  type MakeStoreLab,
  runStoreSuite,
  type StoreLab,
  storeCase,
  storeCases,
  testStore,
} from '../../../src/testing/store-suite/index.ts'
import { memoryStoreLab } from '../mutants/store-kit.ts'

const none = { only: ['no such case at all'] }
const passes = storeCase('suite: passes', async () => {})
const fails = storeCase('suite: fails', async () => Promise.reject(new Error('on purpose')))

function counted(more: Partial<StoreLab> = {}): {
  readonly makeLab: MakeStoreLab
  readonly figures: { open: number; made: number }
} {
  const figures = { open: 0, made: 0 }
  return {
    figures,
    makeLab() {
      figures.open++
      figures.made++
      return {
        ...memoryStoreLab(),
        ...more,
        close: async () => {
          figures.open--
        },
      }
    },
  }
}

describe('the suite for stores', () => {
  it('has names of their own for its cases', () => {
    const names = storeCases.map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    expect(names.length).toBeGreaterThan(140)
  })

  it('leaves nothing out over the memory store, and fails nothing', async () => {
    const { passed, failed, skipped } = await runStoreSuite(() => memoryStoreLab())
    expect(failed.map(({ name, error }) => `${name}: ${(error as Error).message}`)).toEqual([])
    expect(skipped).toEqual([])
    expect(passed.length).toBe(storeCases.length)
  })

  it('leaves out what cannot be tried, and says why', async () => {
    const { open, clock, pass } = memoryStoreLab()
    const { skipped } = await runStoreSuite(
      () => ({ open, ...(clock === undefined ? {} : { clock }), pass: async (ms) => pass?.(ms) }),
      {
        only: [
          'that it did not begin',
          'commits what users write',
          'death of the database',
          'tables',
          'isolation',
          'date',
        ],
      },
    )
    expect(new Set(skipped.map(({ reason }) => reason))).toEqual(
      new Set([
        'the lab begins no transactions of its own',
        'the lab writes nothing of its own',
        'the lab cannot restart its database',
        'the lab has no place without tables',
        'the lab names no isolation levels',
        'the lab cannot set the date of its store',
      ]),
    )
  })

  it('refuses a name that no case has', async () => {
    await expect(runStoreSuite(() => memoryStoreLab(), none)).rejects.toThrow('no case is called')
    await expect(
      testStore('none', () => memoryStoreLab(), { describe: () => {}, test: () => {}, ...none }),
    ).rejects.toThrow('no case is called')
  })

  it('reports what failed, and goes on unless it is told otherwise', async () => {
    const more = [fails, passes]
    const only = ['suite: ']
    const report = await runStoreSuite(() => memoryStoreLab(), { only, more })
    expect([report.passed, report.failed.map(({ name }) => name)]).toEqual([['suite: passes'], ['suite: fails']])
    const bailed = await runStoreSuite(() => memoryStoreLab(), { only, more, bail: true })
    expect(bailed.passed).toEqual([])
  })

  it('ends a case that takes too long, and lets go of its transactions', async () => {
    const { makeLab, figures } = counted()
    const hangs = storeCase('suite: hangs', () => new Promise(() => {}))
    const { failed } = await runStoreSuite(makeLab, { only: ['suite: '], more: [hangs], timeoutMs: 20 })
    expect(failed.map(({ error }) => (error as Error).message)).toEqual(['it had not ended after 20 ms'])
    expect(figures).toEqual({ open: 0, made: 2 })
  })

  it('closes labs and stores of cases that fail or cannot begin', async () => {
    let closed = 0
    const real = memoryStoreLab()
    const broken = counted({
      async open() {
        const store = await real.open()
        return {
          ...store,
          close: async () => {
            closed++
          },
        }
      },
    })
    let ended = 0
    const ends = storeCase('suite: ends', async ({ onEnd }) => {
      onEnd(() => ended++)
      throw new Error('on purpose')
    })
    await runStoreSuite(broken.makeLab, { only: ['suite: '], more: [ends] })
    expect([broken.figures.open, closed, ended]).toEqual([0, 2, 1])
    const never = counted({ open: () => Promise.reject(new Error('cannot open')) })
    const { failed } = await runStoreSuite(never.makeLab, { only: ['suite: '], more: [passes] })
    expect(failed.map(({ error }) => (error as Error).message)).toEqual(['cannot open'])
    expect(never.figures.open).toBe(0)
  })

  it('defines a test for each case, and says in the names what is left out', async () => {
    const names: string[] = []
    const groups: string[] = []
    const work: (() => void | Promise<void>)[] = []
    const runner = {
      describe: (name: string, define: () => void) => {
        groups.push(name)
        define()
      },
      test: (name: string, run: () => void | Promise<void>) => {
        names.push(name)
        work.push(run)
      },
    }
    const unable = storeCase('suite: unable', async () => {}, [() => 'it is a test'])
    const more = [passes, fails, unable]
    await testStore('memory', () => memoryStoreLab(), { ...runner, only: ['suite: '], more })
    expect([groups, names]).toEqual([
      ['store memory'],
      ['suite: passes', 'suite: fails', 'left out: suite: unable (it is a test)'],
    ])
    await work[0]?.()
    await expect(work[1]?.()).rejects.toThrow('on purpose')
    await work[2]?.()
    const left: string[] = []
    await testStore('memory', () => memoryStoreLab(), {
      ...runner,
      skip: (name) => left.push(name),
      only: ['suite: '],
      more,
    })
    expect(left).toEqual(['left out: suite: unable (it is a test)'])
  })
})
