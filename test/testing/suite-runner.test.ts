// How the suites for registries are run: what is chosen, left out and reported, and that labs are closed whatever happens.
import { describe, expect, it } from 'vitest'
import { type RegistrarLab, runRegistrarSuite } from '../../src/testing/registrar-suite/index.ts'
import { runSourceSuite, type SourceLab, sourceCase, testSource } from '../../src/testing/source-suite/index.ts'
import { memoryRegistrarLab, memorySourceLab } from './mutants/registry-kit.ts'

const passes = sourceCase('suite: passes', async () => {})
const fails = sourceCase('suite: fails', async () => Promise.reject(new Error('on purpose')))
const unable = sourceCase('suite: unable', async () => {}, [() => 'it is a test'])
const only = ['suite: ']

describe('the suites for registries', () => {
  it('leave out what cannot be tried, and say why', async () => {
    const { traits, source, announce, clock, pass } = memorySourceLab()
    const { unknown, emptied, seesChangeWithinMs } = traits
    const bare: SourceLab = {
      traits: { unknown, emptied, seesChangeWithinMs, ids: 'address', ports: false, refreshes: false },
      source,
      announce,
      ...(clock === undefined ? {} : { clock }),
      pass: async (ms) => pass?.(ms),
      patienceMs: 50,
    }
    const { failed, skipped } = await runSourceSuite(() => bare)
    expect(failed).toEqual([])
    expect(new Set(skipped.map(({ reason }) => reason))).toEqual(
      new Set([
        'ids are made of addresses here',
        'the registry has no ports',
        'the registry does not know starting, draining, down',
        'the registry has no weights',
        'the registry has no metadata',
        'the registry has no priorities',
        'the registry has no zones',
        'the registry has no named ports',
        'whatever changes is pushed: there is nothing to refresh',
        'the lab counts no questions',
        'the lab cannot kill its registry',
        'the lab counts neither connections nor timers',
        'the lab cannot pause its registry',
        'the lab cannot freeze connections',
        'the lab cannot cut connections',
        'the lab cannot slow its registry',
        'the lab cannot make answers unreadable',
        'the lab cannot announce what is no endpoint',
      ]),
    )
  })

  it('leave out for registrars what cannot be tried, and say why', async () => {
    const { registrar, read, clock, pass } = memoryRegistrarLab()
    const bare: RegistrarLab = {
      traits: { noticesWithinMs: 1_000, tellsTaken: false },
      registrar,
      read,
      ...(clock === undefined ? {} : { clock }),
      pass: async (ms) => pass?.(ms),
      patienceMs: 50,
    }
    const { skipped } = await runRegistrarSuite(() => bare)
    const reasons = new Set(skipped.map(({ reason }) => reason))
    expect(reasons).toContain('entries of this registry stay for ever')
    expect(reasons).toContain('nobody can tell whose entry it is')
    expect(reasons).toContain('the lab cannot make its registry forget an entry')
    expect(reasons).toContain('the lab counts no signs of life')
  })

  it('refuse a name that no case has', async () => {
    await expect(runSourceSuite(() => memorySourceLab(), { only: ['no such case'] })).rejects.toThrow(
      'no case is called',
    )
  })

  it('report what failed, and go on unless they are told otherwise', async () => {
    const more = [fails, passes]
    const report = await runSourceSuite(() => memorySourceLab(), { only, more })
    expect([report.passed, report.failed.map(({ name }) => name)]).toEqual([['suite: passes'], ['suite: fails']])
    const bailed = await runSourceSuite(() => memorySourceLab(), { only, more, bail: true })
    expect(bailed.passed).toEqual([])
  })

  it('end a case that takes too long, and close its lab and its watches', async () => {
    let open = 0
    const makeLab = (): SourceLab => {
      open++
      return {
        ...memorySourceLab(),
        close: async () => {
          open--
        },
      }
    }
    let ended = 0
    const hangs = sourceCase('suite: hangs', async (desk) => {
      desk.watch(desk.service())
      desk.onEnd(() => void ended++)
      await new Promise(() => {})
    })
    const { failed } = await runSourceSuite(makeLab, { only, more: [hangs, fails], timeoutMs: 20 })
    expect(failed.map(({ error }) => (error as Error).message)).toEqual(['it had not ended after 20 ms', 'on purpose'])
    expect([open, ended]).toEqual([0, 1])
  })

  it('fail a case in which an update breaks a rule that it is not about', async () => {
    const lab = memorySourceLab((world) => ({
      name: 'odd',
      watch(_service, sink) {
        sink({ type: 'snapshot', endpoints: [{ id: 'a', addresses: [{ host: 'a', port: 0 }], weight: -1 }] })
        sink({ type: 'error', error: undefined })
        return { refresh() {}, close: async () => void world.clock.now() }
      },
    }))
    const looks = sourceCase('suite: looks', async (desk) => {
      desk.watch(desk.service())
    })
    const { failed } = await runSourceSuite(() => lab, { only, more: [looks] })
    expect(failed.map(({ error }) => (error as Error).message)).toEqual([
      'no endpoint: a has a port that is none: 0\nan error update without an error',
    ])
  })

  it('define a test for each case, and say in the names what is left out', async () => {
    const names: string[] = []
    const work: (() => void | Promise<void>)[] = []
    const runner = {
      describe: (name: string, define: () => void) => {
        names.push(name)
        define()
      },
      test: (name: string, run: () => void | Promise<void>) => {
        names.push(name)
        work.push(run)
      },
    }
    await testSource('memory', () => memorySourceLab(), { ...runner, only, more: [passes, fails, unable] })
    expect(names).toEqual(['source memory', 'suite: passes', 'suite: fails', 'left out: suite: unable (it is a test)'])
    await work[0]?.()
    await expect(work[1]?.()).rejects.toThrow('on purpose')
    await work[2]?.()
  })
})
