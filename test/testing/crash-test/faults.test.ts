// Each kind of fault strikes, and is found by a program that cannot bear it, while the same program in its right form can.
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { queue } from '../../../src/messaging/channel.ts'
import { createConsumer } from '../../../src/messaging/consumer/index.ts'
import { createPublisher } from '../../../src/messaging/publisher.ts'
import {
  type CrashFaultKind,
  type CrashService,
  type CrashTestFailure,
  type CrashWorld,
  crashTest,
} from '../../../src/testing/crash-test/index.ts'
import { runSchedule } from '../../../src/testing/crash-test/run.ts'
import { SystemScenario } from '../../../src/testing/crash-test/system.ts'

interface Program {
  readonly kind: CrashFaultKind
  readonly what: string
  /** `mended`: in its right form. Answers what is wrong, if anything. */
  system(world: CrashWorld, mended: boolean): () => string | undefined
  /** In the story of the shortest schedule. */
  readonly story: RegExp
}

const Jobs = queue('jobs', { job: z.object({ name: z.string() }) })

const twice = (done: readonly string[]): string | undefined =>
  done.length > new Set(done).size ? `${done.join()}: twice` : undefined

/** A customer who asks until somebody says yes. */
async function insisting(own: { sleep(ms: number): Promise<void> }, ask: () => Promise<unknown>): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    try {
      await ask()
      return
    } catch {
      await own.sleep(200)
    }
  }
}

// A service that does jobs of a queue, each once where it remembers them.
const worker =
  (done: string[], remembers: boolean) =>
  async (own: CrashService): Promise<void> => {
    await createConsumer({
      transport: own.transport,
      channel: Jobs,
      handlers: {
        job: async ({ data }) => {
          await own.step('work', () => {
            if (!remembers || !done.includes(data.name)) done.push(data.name)
          })
        },
      },
      ...own.options,
    }).start()
  }

const jobbing: Program['system'] = (world, mended) => {
  const done: string[] = []
  world.service('worker', worker(done, mended))
  world.client('boss', async (own) => {
    const publisher = createPublisher({ transport: own.transport, source: '/boss', clock: own.clock, newId: own.newId })
    await insisting(own, () => publisher.publish(Jobs, { type: 'job', id: 'job-1', data: { name: 'a' } }))
  })
  return () => twice(done) ?? (done.length === 0 ? 'it was never done' : undefined)
}

const programs: readonly Program[] = [
  {
    kind: 'crash',
    what: 'a mail whose sending is not noted before the process is gone',
    system(world, mended) {
      const mails: string[] = []
      const shop = world.database('shop')
      world.service('shop', (own) => {
        const store = own.store(shop)
        own.serve('place', async (order: string) => {
          if (await store.transaction(async (tx) => tx.get(order) === 'mailed')) return
          // Mended: the mailer knows the order by its number.
          await own.step('mail', () => void (mended && mails.includes(order) ? undefined : mails.push(order)))
          await store.transaction(async (tx) => tx.set(order, 'mailed'))
        })
      })
      world.client('customer', (own) => insisting(own, () => own.call('shop', 'place', 'A-1')))
      return () => twice(mails)
    },
    story: /shop is killed right (after|before) (mail|shop\.\w+)/,
  },
  {
    kind: 'pause',
    what: 'work that goes on when the lease is over',
    system: jobbing,
    story: /worker stands still for \d+ ms right (before|after) \S+/,
  },
  {
    kind: 'refused',
    what: 'a customer who asks once',
    system(world, mended) {
      const placed: string[] = []
      world.service('shop', (own) => own.serve('place', (order: string) => void placed.push(order)))
      world.client('customer', async (own) => {
        const ask = (): Promise<unknown> => own.call('shop', 'place', 'A-1')
        await (mended ? insisting(own, ask) : ask().catch(() => undefined))
      })
      return () => (placed.length === 0 ? 'the order is lost' : undefined)
    },
    story: /customer is refused at call shop\.place/,
  },
  {
    kind: 'lost-reply',
    what: 'an order without a number, asked for again',
    system(world, mended) {
      const placed: string[] = []
      world.service('shop', (own) =>
        own.serve('place', (order: string) => {
          if (!mended || !placed.includes(order)) placed.push(order)
        }),
      )
      world.client('customer', (own) => insisting(own, () => own.call('shop', 'place', 'A-1')))
      return () => twice(placed)
    },
    story: /customer gets no answer from the call of shop\.place \(the 1st time\), though it was done/,
  },
  {
    kind: 'lost-ack',
    what: 'work that is not remembered',
    system: jobbing,
    story: /what worker says at broker\.settle/,
  },
  { kind: 'duplicate', what: 'work that is not remembered', system: jobbing, story: /twice/ },
  {
    kind: 'delay',
    what: 'two who read, think and write',
    system(world, mended) {
      let stock = 0
      world.service('stock', (own) =>
        own.serve('add', async () => {
          if (mended) return own.step('increment', () => void stock++)
          const read = await own.step('read', () => stock)
          return own.step('write', () => void (stock = read + 1))
        }),
      )
      for (const [name, afterMs] of Object.entries({ first: 0, second: 100 }))
        world.client(name, async (own) => {
          await own.sleep(afterMs)
          await own.call('stock', 'add')
        })
      return () => (stock === 2 ? undefined : `two were added, and there are ${stock}`)
    },
    story: /No fault is needed, only these delays/,
  },
  {
    kind: 'clock-jump',
    what: 'a duration measured by the date',
    system(world, mended) {
      const late: number[] = []
      world.service('shop', async (own) => {
        const now = (): number => (mended ? own.clock.now() : own.clock.wallNow())
        const began = now()
        await own.step('work', () => undefined)
        const took = now() - began
        if (took < 0 || took > 10_000) late.push(took)
      })
      return () => (late.length > 0 ? `it took ${late.join()} ms` : undefined)
    },
    story: /the date of shop is set (forward|back) by \d+ ms at work/,
  },
]

const run = (program: Program, mended: boolean): Promise<unknown> =>
  crashTest(
    (world) => program.system(world, mended),
    (wrong) => {
      const what = wrong()
      if (what !== undefined) throw new Error(what)
    },
    { kinds: program.kind === 'delay' ? ['delay'] : [program.kind, 'delay'], schedules: 400, name: program.what },
  )

describe('faults', () => {
  it.each(programs)('$kind: found in $what', async (program) => {
    const failure = (await run(program, false).then(
      (report) => ({ message: `not found: ${JSON.stringify(report)}` }),
      (error: unknown) => error,
    )) as CrashTestFailure
    expect(failure.message).toContain('is broken by schedule')
    expect(failure.story).toMatch(program.story)
    expect(failure.schedule.faults.length).toBe(program.kind === 'delay' ? 0 : 1)
  })

  it.each(programs)('$kind: the mended form of $what bears it', async (program) => {
    // That it could have been struck is what the others show; here the kinds are all there are.
    expect(await run(program, true)).toMatchObject({ schedules: 400 })
  })

  it('duplicate: strikes what is sent, and what is delivered', async () => {
    for (const [process, step] of [
      ['boss', 'broker.send'],
      ['worker', 'broker.deliver'],
    ] as const) {
      const scenario = new SystemScenario({
        name: step,
        system: (world) => jobbing(world, false),
        invariant: (wrong) => expect(wrong()).toBe('a,a: twice'),
        always: undefined,
        done: undefined,
        leaseMs: 1_000,
        patienceMs: 10_000,
        allows: new Set(['twice']),
      })
      const faults = [{ process, step, nth: 1, kind: 'twice', ms: 1 }] as const
      const { findings, fired } = await runSchedule(scenario, { seed: 1, size: 1, jitter: 0, faults })
      expect(fired).toEqual(faults)
      expect(findings).toEqual([])
    }
  })
})
