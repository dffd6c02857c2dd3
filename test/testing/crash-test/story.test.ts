// What a failure tells: what has to go wrong, at which line of the user's code, and what happens then.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { topic } from '../../../src/messaging/channel.ts'
import { createConsumer } from '../../../src/messaging/consumer/index.ts'
import { createPublisher } from '../../../src/messaging/publisher.ts'
import {
  type CrashFaultKind,
  type CrashTestFailure,
  type CrashWorld,
  crashTest,
} from '../../../src/testing/crash-test/index.ts'

const failureOf = async <F>(
  system: (world: CrashWorld) => F,
  invariant: (facts: F) => void,
  kinds?: readonly CrashFaultKind[],
): Promise<CrashTestFailure> =>
  (await crashTest(system, invariant, { kinds, name: 'shop' }).then(
    () => new Error('nothing was found'),
    (error: unknown) => error,
  )) as CrashTestFailure

describe('the story', () => {
  it('names the fault and the line at which it struck, and says how to see it again', async () => {
    const failure = await failureOf(
      (world) => {
        const mails: string[] = []
        world.service('shop', (own) => {
          own.serve('place', async function place(order: string) {
            await own.step('mailer.send', () => void mails.push(order)) // the line
          })
        })
        world.client('customer', async (own) => {
          for (let attempt = 0; attempt < 9; attempt++) {
            try {
              return void (await own.call('shop', 'place', 'A-1'))
            } catch {
              await own.sleep(50)
            }
          }
        })
        return mails
      },
      (mails) => expect(mails.length).toBeLessThan(2),
      ['crash'],
    )
    const { seed, message } = failure
    expect(message).toMatch(new RegExp(`^shop: the invariant is broken by schedule \\d+ of 1000 \\(seed ${seed}\\)`))
    expect(message).toMatch(/shop is killed right after mailer\.send \(the 1st time\), and started again after 1 ms/)
    expect(message).toMatch(
      /at .*place \(test\/testing\/crash-test\/story\.test\.ts:\d+:\d+\) {2}await own\.step\('mailer\.send'.* \/\/ the line/,
    )
    expect(message).toMatch(/shop {2}mailer\.send 1\n.*\*\*\* shop is killed right after mailer\.send/)
    expect(message).toContain('shop#2  mailer.send 2')
    expect(message).toContain(`FAIRLEAD_CRASH_SEED=${seed}`)
    // Neither fairlead's own files nor those of Node are anybody's code.
    expect(failure.story).not.toMatch(/src\/|node:/)
  })

  it('names a line in a folder with parentheses in its name', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'crash (test) '))
    const file = join(folder, 'system.mjs')
    const lines = [
      'export function system(world) {',
      '  const facts = { crashed: false }',
      "  world.service('shop', (own) => {",
      "    if (own.name !== 'shop') facts.crashed = true",
      "    return own.step('write', () => undefined) // the line",
      '  })',
      '  return facts',
      '}',
    ]
    await writeFile(file, lines.join('\n'))
    try {
      const { system } = (await import(/* @vite-ignore */ pathToFileURL(file).href)) as {
        system: (world: CrashWorld) => { crashed: boolean }
      }
      const failure = await failureOf(system, ({ crashed }) => expect(crashed).toBe(false), ['crash'])
      expect(failure.story).toMatch(/system\.mjs:5:\d+\)? {2}return own\.step.* \/\/ the line/)
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('names the line of a transaction for its commit', async () => {
    const failure = await failureOf(
      (world) => {
        const shop = world.database('shop')
        const told: string[] = []
        world.service('shop', async (own) => {
          const store = own.store(shop)
          await own.step('tell', () => void told.push('placed'))
          await store.transaction(async (tx) => tx.set('order', 'placed')) // the line
          await own.sleep(10_000)
        })
        return { shop, told }
      },
      ({ shop, told }) => {
        if (told.length > 0 && shop.get('order') === undefined) throw new Error('told, and not placed')
        if (told.length > 1) throw new Error('told twice')
      },
      ['crash'],
    )
    expect(failure.story).toMatch(
      /shop is killed right (before|after) (tell|shop\.(begin|commit)|a commit of shop) \(the 1st time\)/,
    )
    expect(failure.story).toMatch(/at .*story\.test\.ts:\d+:\d+\)? {2}await (store\.transaction.*the line|own\.step)/)
  })

  it('names what had fairlead begin, where it was at work by itself', async () => {
    const Orders = topic('orders', { placed: z.object({ order: z.string() }) })
    const failure = await failureOf(
      (world) => {
        const shipped: string[] = []
        world.prepare(Orders, 'shipping')
        world.service('shipping', async (own) => {
          const consumer = createConsumer({
            transport: own.transport,
            channel: Orders,
            group: 'shipping',
            handlers: { placed: ({ data }) => void shipped.push(data.order) },
            ...own.options,
          })
          await consumer.start() // the line
        })
        world.client('shop', async (own) => {
          const publisher = createPublisher({
            transport: own.transport,
            clock: own.clock,
            source: '/shop',
            newId: own.newId,
          })
          await publisher.publish(Orders, { type: 'placed', data: { order: 'A-1' } }).catch(() => undefined)
        })
        return shipped
      },
      (shipped) => expect(shipped.length).toBeLessThan(2),
      ['lost-ack'],
    )
    expect(failure.story).toContain('what shipping says at broker.settle (the 1st time) gets lost on its way')
    expect(failure.story).toMatch(
      /in what began at .*story\.test\.ts:\d+:\d+\)? {2}await consumer\.start\(\) \/\/ the line/,
    )
  })

  it('is that of the shortest schedule: one fault of six, no delays, the first time', async () => {
    const system = (world: CrashWorld): { wrong: boolean } => {
      const facts = { wrong: false }
      for (const name of ['a', 'b', 'c'])
        world.service(name, async (own) => {
          for (let turn = 0; turn < 5; turn++) await own.step(`turn`, () => undefined).catch(() => undefined)
          if (name === 'b' && own.name !== 'b') facts.wrong = true
        })
      return facts
    }
    const failure = await failureOf(system, ({ wrong }) => expect(wrong).toBe(false))
    expect(failure.schedule).toMatchObject({ jitter: 0, faults: [{ process: 'b', step: 'turn', nth: 1, ms: 1 }] })
    expect(failure.message).toMatch(/shrunk from \d faults? to 1 fault\n/)
  })
})
