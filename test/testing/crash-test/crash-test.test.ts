// What crashTest itself promises: a right program passes, what is wrong is found again by its seed, and a test that is wrong is told so.
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { afterEach, describe, expect, it } from 'vitest'
import {
  CrashTestFailure,
  type CrashTestOptions,
  type CrashWorld,
  crashTest,
} from '../../../src/testing/crash-test/index.ts'
import { oneInvoiceEach, rightShop } from './support.ts'

// Mails that are sent and not noted: a customer who has no answer has them sent again.
function forgetful(world: CrashWorld): readonly string[] {
  const mails: string[] = []
  world.service('shop', (own) => {
    own.serve('place', async (order: string) => {
      await own.step('mailer.send', () => void mails.push(order))
    })
  })
  world.client('customer', async (own) => {
    for (let attempt = 0; attempt < 20; attempt++) {
      try {
        return void (await own.call('shop', 'place', 'A-1'))
      } catch {
        await own.sleep(50)
      }
    }
  })
  return mails
}

function once(mails: readonly string[]): void {
  if (mails.length > 1) throw new Error(`${mails.length} mails`)
}

const failureOf = async (options: CrashTestOptions<readonly string[]> = {}): Promise<CrashTestFailure> => {
  const failure = await crashTest(forgetful, once, options).catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(CrashTestFailure)
  return failure as CrashTestFailure
}

const refusal = (system: unknown, invariant: unknown = () => {}, options: unknown = {}): Promise<unknown> =>
  crashTest(system as never, invariant as never, { schedules: 5, ...(options as object) }).then(
    () => 'nothing',
    (error: { code?: string; message: string }) => error.message.replace(`[${error.code}]`, `${error.code}:`),
  )

afterEach(() => {
  delete process.env.FAIRLEAD_CRASH_SEED
  delete process.env.FAIRLEAD_CRASH_SHARD
})

describe('crashTest', () => {
  it('lets a right program pass, and says what it has been through', async () => {
    const report = await crashTest(rightShop(['A-1', 'A-2']), oneInvoiceEach, { schedules: 100 })
    expect(report.schedules).toBe(100)
    expect(report.faults).toBeGreaterThan(100)
    expect(report.steps).toBeGreaterThan(100 * 20)
    expect(report.virtualMs).toBeGreaterThan(100 * 1_000)
    // And the same again.
    expect(await crashTest(rightShop(['A-1', 'A-2']), oneInvoiceEach, { schedules: 100 })).toEqual(report)
  })

  it('rejects with the shortest schedule that breaks the invariant, and what it threw', async () => {
    const failure = await failureOf()
    expect(failure.name).toBe('CrashTestFailure')
    expect(failure.cause).toEqual(new Error('2 mails'))
    expect(failure.schedule.jitter).toBe(0)
    expect(failure.schedule.faults).toMatchObject([{ nth: 1 }])
    expect((await failureOf()).message).toBe(failure.message)
  })

  it('finds it again by its seed alone, given as option or in the environment', async () => {
    const { seed, schedule, story } = await failureOf({ seed: 100 })
    const again = await failureOf({ seed, schedules: 1 })
    expect([again.seed, again.schedule, again.story]).toEqual([seed, schedule, story])
    process.env.FAIRLEAD_CRASH_SEED = String(seed)
    const bySeed = await failureOf({ schedules: 5_000 })
    expect([bySeed.seed, bySeed.schedule, bySeed.story]).toEqual([seed, schedule, story])
    expect(bySeed.message).toContain('schedule 1 of 1 ')
    process.env.FAIRLEAD_CRASH_SEED = 'seven'
    expect(await refusal(forgetful)).toMatch(/^INVALID_OPTIONS: FAIRLEAD_CRASH_SEED is "seven"/)
  })

  it('goes another way with another seed', async () => {
    const reports = await Promise.all(
      [1, 2].map((seed) => crashTest(rightShop(), oneInvoiceEach, { schedules: 10, seed })),
    )
    expect(reports[0]).not.toEqual(reports[1])
  })

  it('says so where the program is wrong without any fault', async () => {
    const failure = (await crashTest(forgetful, () => {
      throw new Error('never right')
    }).catch((error: unknown) => error)) as CrashTestFailure
    expect(failure.message).toMatch(/^crash test: the invariant is broken without any fault\n\n {2}Error: never right/)
    expect(failure.story).toContain('shop  mailer.send 1')
    expect(failure.cause).toEqual(new Error('never right'))
  })

  it.each(['service', 'client'] as const)('says so where a %s ends by itself without any fault', async (party) => {
    const failure = (await crashTest(
      (world) => {
        world.service('other', () => {})
        world[party]('one', async (own: { sleep(ms: number): Promise<void> }) => {
          await own.sleep(5)
          throw new Error('cannot go on')
        })
      },
      () => {},
    ).catch((error: unknown) => error)) as CrashTestFailure
    expect(failure).toBeInstanceOf(CrashTestFailure)
    expect(failure.message).toContain('one rejected without any fault')
    expect(failure.cause).toEqual(new Error('cannot go on'))
  })

  it('awaits an invariant that has to ask', async () => {
    const asked = crashTest(forgetful, async (mails) => {
      await undefined
      once(mails)
    })
    await expect(asked).rejects.toThrow('2 mails')
  })

  it('refuses an `always` that is async: nobody would wait for it', async () => {
    const always = async (): Promise<void> => expect.unreachable('never looked at')
    const refused = crashTest(
      (world) => {
        world.service('shop', (own) => own.step('write', () => undefined))
      },
      () => undefined,
      { always, schedules: 1 },
    )
    await expect(refused).rejects.toMatchObject({ code: 'INVALID_OPTIONS', message: expect.stringContaining('async') })
  })

  it('asks `always` after every step', async () => {
    const open = (world: CrashWorld): { open: number } => {
      const state = { open: 0 }
      world.service('shop', async (own) => {
        await own.step('open', () => void state.open++)
        await own.step('close', () => void (state.open = 0))
      })
      return state
    }
    const atMost = (most: number) => (state: { open: number }) => {
      if (state.open > most) throw new Error(`${state.open} are open`)
    }
    // Twice open where it dies in between; at the end nothing is.
    const failure = (await crashTest(open, atMost(0), { always: atMost(1) }).catch((error) => error)) as Error
    expect(failure.message).toMatch(/what must always be so is broken by schedule/)
    expect(failure.message).toContain('2 are open')
    await crashTest(open, atMost(0), { schedules: 100 })
  })

  it('ends a run where `done` says so, and a little later', async () => {
    const polling = (world: CrashWorld): { count: number } => {
      const state = { count: 0 }
      world.service('poller', async (own) => {
        for (;;) {
          await own.sleep(100)
          await own.step('poll', () => void state.count++)
        }
      })
      return state
    }
    const options = { schedules: 20, faults: 0 }
    const report = await crashTest(polling, () => {}, { ...options, done: ({ count }) => count > 10 })
    expect(report.virtualMs / report.schedules).toBeLessThan(5_000)
    // Without: when patience is at its end, and nothing is judged then.
    const judged: unknown[] = []
    const failure = (await crashTest(polling, (facts) => judged.push(facts), { ...options, patienceMs: 20_000 }).catch(
      (error: unknown) => error,
    )) as CrashTestFailure
    expect(failure.message).toMatch(/^crash test: it is never quiet without any fault\n/)
    expect(failure.message).toContain(
      'not quiet 20000 ms (virtual) after its last fault: the last step was poll of poller',
    )
    expect(judged).toEqual([])
    const patient = await crashTest(polling, () => {}, { ...options, patienceMs: 20_000, done: () => false })
    expect(patient.virtualMs / patient.schedules).toBeGreaterThanOrEqual(20_000)
  })

  it('says of a schedule that it is never quiet, and what still happens, instead of judging it', async () => {
    const restless = (world: CrashWorld): readonly string[] => {
      const tries: string[] = []
      world.service('shop', async (own) => {
        // Asks for ever where it was once refused.
        const ask = (): Promise<void> => own.step('mailer.send', () => void tries.push('sent'))
        const again = (): void =>
          void own.step('again', () => tries.push('again')).finally(() => own.clock.setTimer(again, 100, 0))
        await ask().catch(again)
      })
      return tries
    }
    const failure = (await crashTest(restless, () => {}, { schedules: 200, patienceMs: 5_000 }).catch(
      (error: unknown) => error,
    )) as CrashTestFailure
    expect(failure.message).toMatch(/^crash test: it is never quiet in schedule \d+ of 200 \(seed \d+\), shrunk from/)
    expect(failure.message).toContain('the last step was again of shop')
  })

  it('waits for timers that are longer than a lease, where it is told to', async () => {
    const later = (world: CrashWorld): { done: boolean } => {
      const state = { done: false }
      world.service('late', (own) => {
        own.clock.setTimer(() => void own.step('work', () => void (state.done = true)), 30_000, undefined)
      })
      return state
    }
    const worked = ({ done }: { done: boolean }): void => expect(done).toBe(true)
    await expect(crashTest(later, worked, { schedules: 5, faults: 0 })).rejects.toThrow('without any fault')
    await crashTest(later, worked, { schedules: 5, faults: 0, quietMs: 31_000 })
  })

  it('comes to the same schedules by shards, each its own', async () => {
    const of = async (shard?: '1/2' | '2/2' | '3/3'): Promise<number> => {
      const { schedules, steps } = await crashTest(forgetful, () => {}, { schedules: 25, seed: 4, shard })
      ran.push(schedules)
      return steps
    }
    const ran: number[] = []
    const [one, two] = [await of('1/2'), await of('2/2')]
    expect(one + two).toBe(await of())
    expect(ran).toEqual([12, 13, 25])
    await of('3/3')
    expect(ran.at(-1)).toBe(8)
    process.env.FAIRLEAD_CRASH_SHARD = '1/2'
    expect(await of()).toBe(one)
    // What a shard has found is found by its seed alone, in that shard and without it.
    const { seed, schedule, message } = await failureOf({ seed: 100 })
    expect(message).toMatch(/by schedule \d+ of 500 of shard 1\/2 \(seed \d+\)/)
    expect(seed % 2).toBe(1)
    expect((await failureOf({ seed, schedules: 1 })).schedule).toEqual(schedule)
    delete process.env.FAIRLEAD_CRASH_SHARD
    expect((await failureOf({ seed, schedules: 1 })).schedule).toEqual(schedule)
  })

  it('strikes what only a fault leads to: the undoing of what a crash has left half done', async () => {
    const halves = (world: CrashWorld): { state: string; refunds: number } => {
      const bank = { state: 'new', refunds: 0 }
      world.service('shop', async (own) => {
        if ((await own.step('ledger.read', () => bank.state)) === 'charging') {
          // Wrong: whoever dies between the two gives the money back twice.
          await own.step('bank.refund', () => void bank.refunds++)
          await own.step('ledger.cancel', () => void (bank.state = 'cancelled'))
        } else if (bank.state === 'new') {
          await own.step('ledger.begin', () => void (bank.state = 'charging'))
          await own.step('bank.charge', () => undefined)
          await own.step('ledger.done', () => void (bank.state = 'done'))
        }
      })
      return bank
    }
    const failure = (await crashTest(halves, ({ refunds }) => expect(refunds).toBeLessThan(2)).catch(
      (error: unknown) => error,
    )) as CrashTestFailure
    expect(failure.story).toMatch(/(bank\.refund|ledger\.cancel) \(the 1st time\)/)
    expect(failure.schedule.faults.length).toBe(2)
    const again = (await crashTest(halves, ({ refunds }) => expect(refunds).toBeLessThan(2), {
      seed: failure.seed,
      schedules: 1,
    }).catch((error: unknown) => error)) as CrashTestFailure
    expect(again.story).toBe(failure.story)
  })

  it('shrinks to what fails for the same reason, where there is such a one', async () => {
    const two = (world: CrashWorld): Set<string> => {
      const wrong = new Set<string>()
      world.service('shop', async (own) => {
        for (const name of ['a', 'b']) await own.step(name, () => undefined).catch(() => wrong.add(name))
      })
      return wrong
    }
    let both = 0
    for (let seed = 1; seed < 60; seed++) {
      const said: string[] = []
      const says = (wrong: ReadonlySet<string>): void => {
        if (wrong.size === 2) both++
        const name = wrong.has('a') ? 'a' : wrong.has('b') ? 'b' : undefined
        if (name === undefined) return
        said.push(`${name} is wrong`)
        throw new Error(said.at(-1))
      }
      const options = { seed, schedules: 1, kinds: ['refused'] } as const
      const failure = (await crashTest(two, says, options).catch((error: unknown) => error)) as CrashTestFailure
      if (!(failure instanceof CrashTestFailure)) continue
      expect((failure.cause as Error).message).toBe(said[0])
      expect(failure.schedule.faults.length).toBe(1)
    }
    expect(both).toBeGreaterThan(10)
  })

  it('has virtual time stand still while a step does something real', async () => {
    const packing = (world: CrashWorld): { tookMs: number } => {
      const facts = { tookMs: 0 }
      world.service('shop', async (own) => {
        own.clock.setTimer(() => undefined, 60_000, undefined)
        const before = own.clock.now()
        const pack = promisify(gzip)
        await own.step('pack', () => pack(Buffer.alloc(200_000, 'a')), { real: true })
        facts.tookMs = own.clock.now() - before
      })
      return facts
    }
    const quick = ({ tookMs }: { tookMs: number }): void => expect(tookMs).toBe(1)
    await crashTest(packing, quick, { schedules: 5, faults: 0, kinds: ['crash'] })
  })

  it('does not wait for whoever sleeps though he is dead', async () => {
    const report = await crashTest(
      (world) => {
        let ring = (): void => {}
        const bell = new Promise<void>((resolve) => {
          ring = resolve
        })
        world.service('shop', async (own) => {
          // A promise that outlives the process: what follows it is begun by a dead one.
          void bell.then(() => own.sleep(10))
          // Without any timer the run would be over at once.
          const tick = (): void => void own.clock.setTimer(tick, 500, undefined)
          tick()
          await own.step('work', () => undefined)
        })
        world.service('other', async (own) => {
          await own.sleep(30_000)
          ring()
        })
      },
      () => {},
      { kinds: ['crash'], schedules: 50, patienceMs: 100_000 },
    )
    expect(report.virtualMs / report.schedules).toBeLessThan(90_000)
  })

  it('waits for whoever sleeps, and for what he does then', async () => {
    const late = (world: CrashWorld): { done: boolean } => {
      const state = { done: false }
      world.service('late', async (own) => {
        await own.sleep(100_000)
        await own.step('work', () => undefined).catch(() => undefined)
        state.done = true
      })
      return state
    }
    await crashTest(late, ({ done }) => expect(done).toBe(true), { schedules: 50, kinds: ['delay', 'refused'] })
  })

  it('strikes only by the kinds that are given', async () => {
    const kinds = ['refused'] as const
    const struck = new Set<string>()
    // Whatever is done twice was not refused.
    await crashTest(forgetful, once, { kinds, schedules: 200 })
    await crashTest(
      (world) => {
        world.service('one', async (own) => {
          const before = own.clock.now()
          await own.step('go', () => undefined).catch((error) => struck.add(error.code))
          if (own.clock.now() - before > 3) struck.add('delay')
          if (own.name !== 'one') struck.add('crash')
        })
      },
      () => {},
      { kinds, schedules: 200 },
    )
    expect([...struck]).toEqual(['CONNECTION_REFUSED'])
  })

  it('begins no schedule once its budget is spent', async () => {
    let now = 0
    const clock = { now: () => now++, wallNow: () => 0, setTimer: () => 0, clearTimer: () => {}, unref: () => {} }
    const report = await crashTest(rightShop(), oneInvoiceEach, { schedules: 1_000, budgetMs: 5, clock })
    expect(report.schedules).toBeLessThan(6)
    expect(report.schedules).toBeGreaterThan(2)
  })

  it('refuses what makes no sense', async () => {
    const fine = (world: CrashWorld): void => world.service('one', () => {})
    expect(await refusal(undefined)).toMatch(/^INVALID_OPTIONS: system is undefined/)
    expect(await refusal(fine, null)).toMatch(/^INVALID_OPTIONS: invariant is null/)
    expect(await refusal(() => {})).toMatch(/^INVALID_OPTIONS: .*world\.service/)
    for (const [option, value] of Object.entries({
      schedules: 0,
      seed: -1,
      faults: 1.5,
      kinds: ['fire'],
      leaseMs: 0,
      quietMs: 0,
      shard: '3/2',
      patienceMs: Number.NaN,
      done: true,
      always: 'yes',
      budgetMs: 0,
      shrinks: -1,
      name: '',
      clock: {},
      runs: 7,
    }))
      expect(await refusal(fine, () => {}, { [option]: value })).toMatch(new RegExp(`^INVALID_OPTIONS: .*${option}`))
    const both = (name: string) => (world: CrashWorld) => {
      world.service('one', () => {})
      world.service(name, () => {})
    }
    expect(await refusal(both('one'))).toMatch(/^INVALID_OPTIONS: name is "one": there is/)
    expect(await refusal(both('a b'))).toMatch(/^INVALID_OPTIONS: name is "a b"/)
    const twoDatabases = (world: CrashWorld): void => {
      fine(world)
      world.database('a')
      world.database('a')
    }
    expect(await refusal(twoDatabases)).toMatch(/^INVALID_OPTIONS: name is "a": there is a database/)
    const late = (world: CrashWorld): void => world.service('one', () => void world.service('two', () => {}))
    expect(await refusal(late)).toMatch(/world\.service/)
    const early = (world: CrashWorld): void => {
      fine(world)
      world.database('a').entries()
    }
    expect(await refusal(early)).toMatch(/^INVALID_OPTIONS: .*the run has not begun/)
  })

  it('refuses calls of what is not there, whoever swallows the error', async () => {
    const calling = (service: string, operation: string) => (world: CrashWorld) => {
      world.service('shop', (own) => own.serve('place', () => 1))
      world.client('customer', async (own) => void (await own.call(service, operation).catch(() => undefined)))
    }
    expect(await refusal(calling('shpo', 'place'))).toMatch(/^INVALID_OPTIONS: .*no service shpo; there is shop/)
    expect(await refusal(calling('shop', 'plcae'))).toMatch(
      /^INVALID_OPTIONS: .*nobody serves shop.plcae; there is place/,
    )
    expect(await refusal(calling('shop', 'place'))).toBe('nothing')
  })
})
