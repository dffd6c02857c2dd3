// The availability demo in a short form: what is predicted is observed, and what would make it come out wrong is found.
import { createProxy, createServerAdapter } from 'fairlead'
import { memoryRpiTransport } from 'fairlead/memory'
import { createPublisher } from 'fairlead/messaging'
import { seededRandom } from 'fairlead/testing'
import { describe, expect, it } from 'vitest'
import { Answers, Consumers, Orders } from '../../examples/availability/contracts.ts'
import type { Flow } from '../../examples/availability/flow.ts'
import { chain } from '../../examples/availability/flow-chain.ts'
import { replica } from '../../examples/availability/flow-replica.ts'
import { FLOWS } from '../../examples/availability/flows.ts'
import { inGuide } from '../../examples/availability/guide.ts'
import { downWithin, drawOutages } from '../../examples/availability/outages.ts'
import { plot } from '../../examples/availability/plot.ts'
import { deviations, duration, markdown } from '../../examples/availability/report.ts'
import { type Setting, simulate } from '../../examples/availability/simulate.ts'
import { type Tally, tally } from '../../examples/availability/tally.ts'

// One outage of each service, 30 s long: so five orders.
const SMALL: Setting = { seed: 11, orders: 1_000, everyMs: 6_000, downShare: 0.005, meanDownMs: 30_000 }

const run = async (flow: Flow, setting: Setting = SMALL): Promise<Tally> =>
  tally(await simulate(flow, setting), setting)

const figures = (name: string): Tally => ({
  name,
  needs: ['order'],
  accepted: { predicted: 0.995, observed: 0.9951 },
  late: { predicted: 0.01, observed: 0.0099 },
  refusals: { 'crash CONNECTION_REFUSED': 3 },
  because: { order: 3 },
  p50: 22,
  p99: 1_600,
  longest: { ms: 83_000, why: 'order-1: because' },
  unexplainedMs: 30,
  lost: 0,
  twice: 0,
  unheard: 0,
  down: { order: 0.005, consumer: 0.005, restaurant: 0.005 },
  delays: [20, 22, 1_600, 83_000],
})

describe('of what is predicted', { timeout: 300_000 }, () => {
  it.each(FLOWS.map((flow) => [flow.name, flow] as const))('all is observed: %s', async (_, flow) => {
    const seen = await run(flow)
    expect(deviations([seen], SMALL)).toEqual([])
    expect(seen.accepted.predicted).toBeCloseTo(flow.needs.length === 3 ? 0.98507 : 0.995, 5)
    expect(Object.values(seen.refusals).reduce((all, each) => all + each, 0)).toBe(5 * flow.needs.length)
    // Refused only where one was down that has to be up.
    expect(Object.keys(seen.because).filter((who) => !flow.needs.some((name) => who.includes(name)))).toEqual([])
    if (flow.waitsFor.length === 0)
      expect(seen.longest).toMatchObject({ why: expect.stringContaining('nobody waited') })
    else {
      expect(seen.longest.ms).toBeGreaterThan(10_000)
      expect(seen.longest.why).toMatch(
        /^order-\d+: the (consumer|restaurant|order) service was down for \d+\.\d s of it/,
      )
    }
  })

  it('the same seed gives the same run, to the last digit, and another seed another one', async () => {
    const setting = { ...SMALL, orders: 250 }
    const flow = FLOWS[3] as Flow
    const [first, second, other] = [
      await run(flow, setting),
      await run(flow, setting),
      await run(flow, { ...setting, seed: 12 }),
    ]
    expect(plot([second])).toBe(plot([first]))
    expect(second).toEqual(first)
    expect(plot([other])).not.toBe(plot([first]))
  })
})

describe('it is found out', { timeout: 300_000 }, () => {
  it('that retries which outlast an outage are no availability but waiting', async () => {
    const setting: Setting = { ...SMALL, patienceMs: 300_000 }
    const patient = chain({
      deadlineMs: 300_000,
      circuitBreaker: false,
      retry: { attempts: 1_000, backoffMs: 500, maxBackoffMs: 1_000, budget: false },
    })
    const seen = await run(patient, setting)
    expect(seen.accepted.observed).toBeGreaterThan(0.994)
    expect(seen.longest.ms).toBeGreaterThan(10_000)
    expect(deviations([seen], setting)).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^synchronous chain: accepted: predicted 98\.51 %, observed 99\.\d\d %/),
        expect.stringMatching(/^synchronous chain: late: predicted 0\.00 %/),
      ]),
    )
  })

  it('that a replica which calls is none', async () => {
    const calling: Flow = { ...replica, orderService: chain().orderService }
    expect(deviations([await run(calling)], SMALL)).toEqual([
      expect.stringMatching(/^replica: accepted: predicted 99\.50 %, observed 98\.\d\d %/),
    ])
  })

  it('that what is finished after the response without an outbox is lost, or done twice', async () => {
    const forgetful: Flow = {
      ...(FLOWS[3] as Flow),
      orderService: (doors) => async (life) => {
        const consumers = createProxy(Consumers, { ...life.seams, transport: memoryRpiTransport(doors.consumer) })
        const publisher = life.owns(
          createPublisher({ transport: life.transport, source: '/order', clock: life.seams.clock }),
        )
        const finish = async (orderId: string, consumerId: string): Promise<void> => {
          await consumers.validate({ id: consumerId })
          const message = { type: 'order.validated', key: orderId, data: { orderId } } as const
          await publisher.publish(Answers, message)
          if (orderId === 'order-7') await publisher.publish(Answers, message)
        }
        const place = async ({ orderId, consumerId }: { orderId: string; consumerId: string }) => {
          void finish(orderId, consumerId).catch(() => {})
          return { orderId, status: 'PENDING' as const }
        }
        return createServerAdapter(Orders, { place }, { clock: life.seams.clock })
      },
    }
    expect(deviations([await run(forgetful)], SMALL)).toEqual([
      expect.stringMatching(/late: predicted 1\.00 %, observed 0\.\d\d %/),
      expect.stringMatching(/^finish after the response: \d+ orders were accepted and never complete/),
      expect.stringMatching(/: 1 orders were completed twice$/),
    ])
  })

  it('that somebody waited while all services were up, and that a service was down for longer than it should be', () => {
    const right = figures('one')
    expect(deviations([right], SMALL)).toEqual([])
    expect(deviations([{ ...right, unexplainedMs: 5_000 }], SMALL)).toEqual([
      'one: somebody waited for 5.0 s while all services were up; the longest wait: order-1: because',
    ])
    expect(deviations([{ ...right, down: { ...right.down, consumer: 0.0053 } }], SMALL)).toEqual([
      'one: consumer down: predicted 0.50 %, observed 0.53 %: more than 0.02 points apart',
    ])
  })
})

describe('outages', () => {
  const draw = (seed: number, runMs = 10_000_000) => drawOutages(runMs, 0.005, 30_000, seededRandom(seed))

  it('are exactly the share that was asked for, one after the other, within the run', () => {
    for (let seed = 0; seed < 200; seed++) {
      const outages = draw(seed)
      expect(downWithin(outages, 0, 10_000_000)).toBeCloseTo(50_000, 3)
      let before = 0
      for (const { from, until } of outages) {
        expect(from).toBeGreaterThan(before)
        expect(until).toBeGreaterThan(from)
        before = until
      }
      expect(before).toBeLessThan(10_000_000)
    }
  })

  it('are exponential: 37 % of them are longer than the mean', () => {
    const lengths = draw(3, 10_000_000_000).map(({ from, until }) => until - from)
    const mean = lengths.reduce((all, each) => all + each, 0) / lengths.length
    expect(lengths.filter((each) => each > mean).length / lengths.length).toBeCloseTo(Math.exp(-1), 1)
  })

  it('look in three ways', () => {
    expect(new Set(draw(3, 1_000_000_000).map(({ mode }) => mode))).toEqual(
      new Set(['refuses', 'is silent', 'answers 503']),
    )
  })
})

describe('what is shown', () => {
  it('is a plot for light and dark pages, with a text for those who do not see it', () => {
    const svg = plot(['one', 'two', 'three', 'four'].map(figures))
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox="[\d ]+" role="img"/)
    expect(svg).toContain('prefers-color-scheme: dark')
    expect(svg).toContain('<title id="title">')
    expect(svg).toContain('two: 99.51 % accepted, complete after 22 ms (half), 1 min 23 s (longest)')
    expect(svg).not.toMatch(/NaN|Infinity|undefined/)
    // Every element that is opened is closed.
    const opened = [...svg.matchAll(/<([a-z]+)[^>]*?(\/?)>/g)]
      .filter(([, , closed]) => closed === '')
      .map(([, name]) => name)
    expect([...svg.matchAll(/<\/([a-z]+)>/g)].map(([, name]) => name).sort()).toEqual(opened.sort())
  })

  it('is a table in the guide, in its place', () => {
    const table = markdown([figures('one')], SMALL)
    expect(table).toContain('| one | order | 99.50 % | 99.51 % | 1.00 % | 0.99 % | 22 ms | 1.6 s | 1 min 23 s |')
    expect(table).toContain('| one | 3 crash CONNECTION_REFUSED | 3 order | order-1: because |')
    const guide = 'a\n<!-- figures: npm run demo:availability -->\nold\n<!-- end of figures -->\nb\n'
    const once = inGuide(guide, table)
    expect(once).toBe(guide.replace('old', () => table))
    expect(inGuide(once, table)).toBe(once)
    expect(() => inGuide('a guide without', table)).toThrow('no place for figures')
  })

  it('is time in words', () => {
    expect([0.4, 999, 1_000, 59_900, 60_000, 151_400].map(duration)).toEqual([
      '0 ms',
      '999 ms',
      '1.0 s',
      '59.9 s',
      '1 min 0 s',
      '2 min 31 s',
    ])
  })
})
