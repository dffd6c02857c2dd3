// Members by way of different clients in one group, as in the days in which a service moves from one to the other.
import { type KafkaTransport, kafkaTransport } from 'fairlead/kafka'
import { afterEach, describe, expect, it } from 'vitest'
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'
import { server } from '../../services/servers.ts'
import { CLIENTS, type Client, driverOf } from './kafka-lab.ts'
import { collect, envelope, ids, PATIENCE, sendAll, topicNamed } from './kit.ts'

const address = server('kafka')
if (address === undefined) throw new Error('kafka is not up')
const open: MessageTransport[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((each) => each.close()))
})

// Nobody is killed here: no session may end while the machine stands still.
const SESSION = { sessionTimeoutMs: 30_000, heartbeatMs: 500, rebalanceTimeoutMs: 20_000 }

const transport = (client: Client): KafkaTransport => {
  const driver = driverOf(client, [`${address.host}:${address.port}`], undefined, SESSION)
  const made = kafkaTransport(driver, { requestTimeoutMs: 10_000, partitions: 4 })
  open.push(made)
  return made
}

describe.each(CLIENTS)('a group that %s begins', (first) => {
  const second = CLIENTS.find((client) => client !== first) as Client

  it('is shared by a member of the other client, without anything twice, and is taken over when one goes', async () => {
    const channel = topicNamed('mixed')
    const sender = transport(first)
    await sender.prepare([{ ...channel, group: 'g' }], 'create')
    let sent = 0
    const send = async (count: number): Promise<void> => {
      const from = sent
      sent += count
      await sendAll(
        sender,
        channel,
        Array.from({ length: count }, (_, index) => envelope(`${from + index}`, { key: `k${from + index}` })),
      )
    }
    const one = await collect(transport(first), { channel, group: 'g' }, 100, 'ack')
    await send(40)
    await expect.poll(() => one.got.length, PATIENCE).toBe(40)
    const two = await collect(transport(second), { channel, group: 'g' }, 100, 'ack')
    await expect
      .poll(async () => {
        await send(20)
        return two.got.length
      }, PATIENCE)
      .toBeGreaterThan(0)
    const all = (): readonly string[] => [...ids(one.got), ...ids(two.got)]
    await expect.poll(() => all().length, PATIENCE).toBe(sent)
    // What was done by one does not come to the other.
    expect(new Set(all()).size).toBe(sent)
    // The topic of what is put back is a fifth partition.
    expect([1, 2, 3]).toContain(new Set(two.got.map(({ lane }) => lane)).size)
    // What it has acknowledged is committed: otherwise it would rightly come to the other.
    await expect.poll(async () => (await sender.lag({ ...channel, group: 'g' })).total, PATIENCE).toBe(0)
    await one.receiver.close()
    const before = two.got.length
    await send(40)
    await expect.poll(() => two.got.length - before, PATIENCE).toBe(40)
    expect(new Set(two.got.slice(before).map(({ lane }) => lane)).size).toBe(4)
  }, 300_000)
})
