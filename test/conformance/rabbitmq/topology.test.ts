// What stands at a real broker, seen by its own tools: what is made, what goes away by itself, and what a user who may make nothing can still do.
import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type RabbitmqInstance, startRabbitmq } from '../../services/rabbitmq-instance.ts'
import { clients } from './clients.ts'
import { type Bench, benchOf, collect, context, envelope, failureOf, ids, sendAll } from './own.ts'

let instance: RabbitmqInstance
beforeAll(async () => {
  instance = await startRabbitmq()
  await instance.control('add_user', 'app', 'app')
}, 300_000)
afterAll(() => instance.remove())

describe.each(clients)('what stands at the broker, over $name', (client) => {
  let bench: Bench
  beforeEach(() => {
    bench = benchOf(client)
  })
  afterEach(() => bench.end())

  /** Queues whose name begins so, each in the words of the broker. */
  const queues = async (prefix: string, vhost = '/'): Promise<Readonly<Record<string, string>>> => {
    const fields = ['name', 'type', 'durable', 'exclusive', 'arguments']
    const lines = (await instance.control('-q', 'list_queues', '--no-table-headers', '-p', vhost, ...fields)).split(
      '\n',
    )
    const rows = lines
      .map((line) => line.split('\t'))
      .filter(([name, type]) => type !== undefined && name?.startsWith(prefix) === true)
    return Object.fromEntries(rows.map(([name, ...rest]) => [name?.slice(prefix.length), rest.join(' ')]))
  }

  it('queues and groups are quorum queues that dead-letter at least once to a place of their own', async () => {
    const transport = bench.transport(instance, { deliveryLimit: 7 })
    const [work, topic] = [bench.name(), bench.name('topic')]
    await transport.prepare([work, { ...topic, group: 'g' }], 'create')
    for (const [prefix, queue] of [
      [work.name, ''],
      [topic.name, '.g'],
    ] as const) {
      const made = await queues(prefix)
      expect(Object.keys(made).sort()).toEqual([queue, `${queue}.dead`])
      for (const words of Object.values(made)) expect(words).toMatch(/^quorum true +\[/)
      for (const argument of [
        '{"x-delivery-limit",7}',
        `{"x-dead-letter-routing-key","${prefix}${queue}.dead"}`,
        '{"x-dead-letter-strategy","at-least-once"}',
        '{"x-overflow","reject-publish"}',
      ])
        expect(made[queue]).toContain(argument)
      // However often somebody looks at dead letters, none is dropped for it.
      expect(made[`${queue}.dead`]).toContain(`{"x-delivery-limit",${2 ** 31 - 1}}`)
    }
    await transport.prepare([work, { ...topic, group: 'g' }], 'check')
  }, 300_000)

  it('live subscriptions and private places are exclusive queues, gone with their receiver or its connection', async () => {
    const transport = bench.transport(instance)
    const topic = bench.name('topic')
    await transport.prepare([topic], 'create')
    const live = await collect(transport, { channel: topic }, 10)
    const replies = await collect(
      transport,
      { channel: { kind: 'queue', name: `${topic.name}-r` }, temporary: true },
      1,
    )
    const standing = Object.values(await queues(topic.name))
    expect(standing).toHaveLength(2)
    for (const words of standing) expect(words).toMatch(/^classic false true/)
    await replies.receiver.close()
    expect(Object.keys(await queues(topic.name))).toHaveLength(1)
    await sendAll(transport, topic, [envelope('seen')])
    await expect.poll(() => ids(live.got)).toEqual(['seen'])
    await transport.close()
    await bench.end()
    await expect.poll(() => queues(topic.name), { timeout: 10_000, interval: 500 }).toEqual({})
  }, 300_000)

  it('a group that nobody uses any more is dropped with its dead letters; one that is used is not', async () => {
    const transport = bench.transport(instance)
    const topic = bench.name('topic')
    const left = { ...topic, group: 'left' }
    await transport.prepare([left, { ...topic, group: 'used' }], 'create')
    const { receiver, got } = await collect(transport, { channel: topic, group: 'left' }, 1)
    await sendAll(transport, topic, [envelope('1'), envelope('2')])
    await expect.poll(() => got.length).toBe(1)
    await got[0]?.settle('dead', { reason: 'bad' })
    receiver.request(5)
    await expect.poll(() => got.length).toBe(2)
    expect(await failureOf(transport.dropGroup?.(left) as Promise<void>)).toMatchObject({
      code: 'CONFLICT',
      effect: 'none',
      channel: topic.name,
    })
    await receiver.close()
    // The broker counts a consumer for a moment after it has left.
    const dropped = async (): Promise<unknown> => {
      try {
        return (await transport.dropGroup?.(left)) ?? 'dropped'
      } catch (error) {
        return (error as { code: unknown }).code
      }
    }
    await expect.poll(dropped, { timeout: 10_000 }).toBe('dropped')
    expect(Object.keys(await queues(topic.name)).sort()).toEqual(['.used', '.used.dead'])
    await transport.dropGroup?.(left)
    await sendAll(transport, topic, [envelope('3')])
    expect(await transport.inspect?.({ channel: topic, group: 'used' })).toEqual({ waiting: 3 })
    for (const wrong of [{ kind: 'queue', name: 'q' } as const, topic])
      expect(await failureOf(transport.dropGroup?.(wrong) as Promise<void>)).toMatchObject({ code: 'INVALID_OPTIONS' })
  }, 300_000)

  it('a user who may make nothing checks, sends, receives and gives up; what has to be made is refused', async () => {
    const vhost = `made-${randomUUID().slice(0, 8)}`
    await instance.control('add_vhost', vhost)
    await instance.control('set_permissions', '-p', vhost, 'guest', '.*', '.*', '.*')
    await instance.control('set_permissions', '-p', vhost, 'app', '^$', '.*', '.*')
    const operator = bench.transport({ ...instance, vhost })
    const transport = bench.transport({ ...instance, vhost, user: 'app', password: 'app' })
    const [work, topic] = [bench.name(), bench.name('topic')]
    const places = [work, { ...topic, group: 'g' }]
    const missing = await failureOf(transport.prepare(places, 'check'))
    expect(missing).toMatchObject({ code: 'CHANNEL_NOT_FOUND', effect: 'none' })
    for (const { name } of places) expect(missing.message).toContain(name)
    expect(await queues('', vhost)).toEqual({})
    await operator.prepare(places, 'create')
    const before = await queues('', vhost)
    await transport.prepare(places, 'check')
    for (const from of [{ channel: work }, { channel: topic, group: 'g' }]) {
      const { receiver, got } = await collect(transport, from, 1)
      await sendAll(transport, from.channel, [envelope('x')])
      await expect.poll(() => got.length, { timeout: 10_000 }).toBe(1)
      await got[0]?.settle('retry')
      receiver.request(1)
      await expect.poll(() => got.length, { timeout: 10_000 }).toBe(2)
      // A place in which it waits would have to be made.
      const refusal = await failureOf(got[1]?.settle('retry', { delayMs: 500 }) as Promise<void>)
      expect(refusal).toMatchObject({ code: 'FORBIDDEN', effect: 'none' })
      await got[1]?.settle('dead', { reason: 'enough' })
      await receiver.close()
      const dead: string[] = []
      const place = { ...from.channel, group: from.group }
      for await (const letter of transport.deadLetters?.list(place, { limit: 5 }) ?? []) dead.push(letter.reason)
      expect(dead).toEqual(['enough'])
    }
    const later = envelope('later', { notBefore: Date.now() + 60_000 })
    const [verdict] = await transport.send(work, [later], context())
    expect(verdict).toMatchObject({ status: 'failed', error: { code: 'FORBIDDEN', effect: 'none' } })
    expect(await queues('', vhost)).toEqual(before)
    // With the rights that the guide names for delays, and no others, it waits and comes back.
    const waits = `^${work.name}\\.wait\\.[0-9]+$`
    await instance.control('set_permissions', '-p', vhost, 'app', waits, '^amq\\.default$', `^${work.name}$|${waits}`)
    const patient = bench.transport({ ...instance, vhost, user: 'app', password: 'app' })
    const { receiver, got } = await collect(patient, { channel: work }, 1)
    await sendAll(patient, work, [envelope('waits')])
    await expect.poll(() => got.length, { timeout: 10_000 }).toBe(1)
    await got[0]?.settle('retry', { delayMs: 100 })
    receiver.request(1)
    await expect.poll(() => got.length, { timeout: 10_000 }).toBe(2)
    expect(got[1]?.redeliveries).toBe(1)
    await got[1]?.settle('ack')
    await sendAll(patient, work, [envelope('later', { notBefore: Date.now() + 100 })])
  }, 300_000)
})
