// What waits, as it can be asked of a broker that knows only what is done.
import { afterEach, describe, expect, it } from 'vitest'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import { server } from '../../services/servers.ts'
import { CLIENTS, transportOf } from './kafka-lab.ts'
import { collect, envelope, failureOf, PATIENCE, sendAll, topicNamed } from './kit.ts'

const address = server('kafka')
if (address === undefined) throw new Error('kafka is not up')
const open: MessageTransport[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.close()))
})

describe.each(CLIENTS)('what waits, by %s', (client) => {
  const transport = (): MessageTransport => {
    const made = transportOf(client, [`${address.host}:${address.port}`], { partitions: 2 })
    open.push(made)
    return made
  }

  it('is not what we hold, or keep until its time; of others it is what is not done', async () => {
    const [one, watcher] = [transport(), transport()]
    const channel = topicNamed('waits')
    const from = { channel, group: 'g' }
    await one.prepare([{ ...channel, group: 'g' }], 'create')
    const waiting = async (by: MessageTransport): Promise<number | undefined> => (await by.inspect?.(from))?.waiting
    expect(await waiting(watcher)).toBe(0)
    await sendAll(
      one,
      channel,
      Array.from({ length: 10 }, (_, index) => envelope(`${index}`, { key: `k${index}` })),
    )
    expect(await waiting(watcher)).toBe(10)
    const { receiver, got } = await collect(one, from, 4)
    await expect.poll(() => got.length, PATIENCE).toBe(4)
    await expect.poll(() => waiting(one), PATIENCE).toBe(6)
    // The broker knows nothing of what is held.
    expect(await waiting(watcher)).toBe(10)
    // Not the first of its partition: what is done behind it stands in the note.
    await got[3]?.settle('ack')
    expect(await waiting(watcher)).toBe(9)
    await got[2]?.settle('retry', { delayMs: 600_000 })
    expect(await waiting(one)).toBe(6)
    await got[1]?.settle('dead')
    expect([await waiting(one), await waiting(watcher)]).toEqual([6, 8])
    expect(await one.deadLetters?.redrive({ ...channel, group: 'g' }, 'all')).toBe(1)
    await expect.poll(() => waiting(one), PATIENCE).toBe(7)
    expect(await waiting(watcher)).toBe(9)
    await receiver.close()
    await expect.poll(() => waiting(one), PATIENCE).toBe(9)
    expect(await failureOf(Promise.resolve(one.inspect?.(from, 1)))).toMatchObject({ code: 'CAPABILITY_MISSING' })
    expect(await failureOf(Promise.resolve(one.inspect?.({ channel: topicNamed('none'), group: 'g' })))).toMatchObject({
      code: 'CHANNEL_NOT_FOUND',
      effect: 'none',
    })
  }, 300_000)
})
