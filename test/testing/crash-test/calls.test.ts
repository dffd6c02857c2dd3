// Calls between processes fail as they do over a network, with what is known of their effect.
import { describe, expect, it } from 'vitest'
import { createError } from '../../../src/errors/classes.ts'
import { type CrashFaultKind, type CrashService, crashTest } from '../../../src/testing/crash-test/index.ts'
import { runSchedule } from '../../../src/testing/crash-test/run.ts'
import { SystemScenario } from '../../../src/testing/crash-test/system.ts'

interface Seen {
  readonly outcomes: Map<string, number>
}

/** What a client is told over many schedules, and how often the work had been done then. */
async function outcomesOf(
  kinds: readonly CrashFaultKind[],
  serve: (own: CrashService, done: () => void) => void,
  timeoutMs?: number,
): Promise<readonly string[]> {
  const seen: Seen = { outcomes: new Map() }
  await crashTest(
    (world) => {
      const facts = { done: 0, told: 'nothing' }
      world.service('shop', (own) => serve(own, () => void facts.done++))
      world.client(
        'customer',
        async (own) => {
          facts.told = await own.call<string>('shop', 'place', { order: 'A-1' }).then(
            (answer) => `answer ${answer}`,
            (error: { code: string; effect: string }) => `${error.code} ${error.effect}`,
          )
        },
        { timeoutMs },
      )
      return facts
    },
    ({ done, told }) => {
      const outcome = `${told}, done ${done}`
      seen.outcomes.set(outcome, (seen.outcomes.get(outcome) ?? 0) + 1)
    },
    { kinds, schedules: 200 },
  )
  return [...seen.outcomes.keys()].sort()
}

const place = (own: CrashService, done: () => void): void =>
  own.serve('place', async ({ order }: { order: string }) => {
    await own.step('write', done)
    return order
  })

describe('a call', () => {
  it('is answered', async () => {
    expect(await outcomesOf(['delay'], place)).toEqual(['answer A-1, done 1'])
  })

  it('fails where its answer cannot be sent', async () => {
    const outcomes = await outcomesOf(['delay'], (own, done) =>
      own.serve('place', () => {
        done()
        return () => 'a function'
      }),
    )
    expect(outcomes).toEqual(['SERVER_ERROR unknown, done 1'])
  })

  it('is refused, and then nothing was done', async () => {
    const outcomes = await outcomesOf(['refused'], (own, done) => own.serve('place', () => done()))
    expect(outcomes).toEqual(['CONNECTION_REFUSED none, done 0', 'answer undefined, done 1'])
  })

  it('loses its answer, and then it was done', async () => {
    const outcomes = await outcomesOf(['lost-reply'], (own, done) => own.serve('place', () => done()))
    expect(outcomes).toEqual(['CONNECTION_LOST unknown, done 1', 'answer undefined, done 1'])
  })

  it('finds nobody, or is cut off before or after the work, where the service dies', async () => {
    expect(await outcomesOf(['crash'], place)).toEqual([
      'CONNECTION_LOST unknown, done 0',
      'CONNECTION_LOST unknown, done 1',
      'answer A-1, done 1',
    ])
  })

  it('takes too long where the service stands still, and the work is done all the same', async () => {
    const outcomes = await outcomesOf(['pause'], place, 500)
    expect(outcomes).toEqual(['DEADLINE_EXCEEDED unknown, done 1', 'answer A-1, done 1'])
  })

  it('brings the error of the service: a FairleadError as it is, another as the cause of a SERVER_ERROR', async () => {
    const failing = (error: Error) =>
      outcomesOf(['delay'], (own) =>
        own.serve('place', () => {
          throw error
        }),
      )
    expect(await failing(createError({ code: 'NOT_FOUND' }))).toEqual(['NOT_FOUND none, done 0'])
    expect(await failing(new TypeError('x is undefined'))).toEqual(['SERVER_ERROR unknown, done 0'])
  })

  it('shares nothing: what is sent and answered is copied', async () => {
    await crashTest(
      (world) => {
        const facts = { same: true }
        const kept: object[] = []
        world.service('shop', (own) =>
          own.serve('place', (order: object) => {
            kept.push(order)
            return order
          }),
        )
        world.client('customer', async (own) => {
          const order = { id: 'A-1' }
          const answer = await own.call('shop', 'place', order)
          facts.same = kept[0] === order || answer === kept[0]
          expect(answer).toEqual(order)
        })
        return facts
      },
      ({ same }) => expect(same).toBe(false),
      { schedules: 1, faults: 0 },
    )
  })
})

describe('a life that is over', () => {
  it('does nothing more: no timer, no answer, no step', async () => {
    const report = await crashTest(
      (world) => {
        const ghosts: string[] = []
        let current = ''
        const alive = (own: CrashService, what: string): void => {
          if (own.name !== current) ghosts.push(`${own.name} ${what} in ${current}`)
        }
        world.service('one', async (own) => {
          current = own.name
          own.clock.setTimer(() => alive(own, 'timer'), 20, undefined)
          const loop = async (name: string): Promise<void> => {
            for (let turn = 0; turn < 4; turn++) {
              await own.step(name, () => alive(own, name)).catch(() => undefined)
              alive(own, `after ${name}`)
              await own.sleep(3)
              alive(own, `slept after ${name}`)
            }
          }
          await Promise.all([loop('a'), loop('b')])
        })
        return ghosts
      },
      (ghosts) => expect(ghosts).toEqual([]),
      { kinds: ['crash', 'delay'], schedules: 300 },
    )
    expect(report.faults).toBeGreaterThan(300)
  })

  it('commits nothing that it had not committed', async () => {
    await crashTest(
      (world) => {
        const shop = world.database('shop')
        const told: string[] = []
        world.service('shop', async (own) => {
          const store = own.store(shop)
          await store.transaction(async (tx) => {
            tx.set('half', own.name)
            await own.step('between', () => undefined)
            tx.set('whole', own.name)
          })
          told.push(own.name)
        })
        return { shop, told }
      },
      ({ shop, told }) => {
        expect(shop.get('half')).toBe(shop.get('whole'))
        if (told.length > 0) expect(shop.get('whole')).toBeDefined()
      },
      { kinds: ['crash', 'delay'], schedules: 300 },
    )
  })

  it.each([
    ['begin', 1],
    ['commit', 1],
    ['committed', 2],
  ])('that ends right before %s: what both lives have committed counts %i', async (step, counted) => {
    const scenario = new SystemScenario({
      name: 'counting',
      system: (world) => {
        const shop = world.database('shop')
        world.service('shop', async (own) => {
          const store = own.store(shop)
          await store.transaction(async (tx) => tx.set('count', Number(tx.get('count') ?? 0) + 1))
        })
        return shop
      },
      invariant: (shop) => expect(shop.get('count')).toBe(counted),
      always: undefined,
      done: undefined,
      leaseMs: 1_000,
      patienceMs: 10_000,
      allows: new Set(['crash-before']),
    })
    const faults = [{ process: 'shop', step: `shop.${step}`, nth: 1, kind: 'crash-before', ms: 10 }] as const
    const { findings, fired } = await runSchedule(scenario, { seed: 1, size: 1, jitter: 0, faults })
    expect(fired).toEqual(faults)
    expect(findings).toEqual([])
  })
})
