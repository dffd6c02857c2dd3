// Groups that nobody needs any more, on the real broker: what goes with them, what stays, and who is in the way.
import { randomUUID } from 'node:crypto'
import type { KafkaTransport, KafkaTransportOptions } from 'fairlead/kafka'
import { afterEach, describe, expect, it } from 'vitest'
import type { ChannelPlace } from '../../../src/core/contracts/transport.ts'
import { server } from '../../services/servers.ts'
import { type Client, transportOf } from './kafka-lab.ts'
import { adminAt, collect, envelope, failureOf, ids, PATIENCE, sendAll, topicNamed } from './kit.ts'

const address = server('kafka')
if (address === undefined) throw new Error('kafka is not up')
const brokers = [`${address.host}:${address.port}`]

/** What the broker has whose name begins so. */
const standing = async (name: string): Promise<{ topics: readonly string[]; groups: readonly string[] }> => {
  const admin = adminAt(brokers)
  try {
    const of = (all: Iterable<string>) => [...all].filter((each) => each.startsWith(name)).sort()
    return { topics: of(await admin.listTopics()), groups: of((await admin.listGroups()).keys()) }
  } finally {
    await admin.close()
  }
}

/** What becomes of a group, by one client. */
export const describeGroups = (client: Client): void => {
  describe(`a group that is dropped, by ${client}`, () => groupsBy(client))
}

const groupsBy = (client: Client): void => {
  const open: KafkaTransport[] = []
  afterEach(async () => {
    await Promise.all(open.splice(0).map((each) => each.close()))
  })

  const transport = (options: KafkaTransportOptions = {}): KafkaTransport => {
    const made = transportOf(client, brokers, { partitions: 2, ...options }) as KafkaTransport
    open.push(made)
    return made
  }
  const drop = async (by: KafkaTransport, place: ChannelPlace): Promise<void> => {
    await (by.dropGroup as NonNullable<KafkaTransport['dropGroup']>)(place)
  }

  // A member whose farewell is late stands at the broker until its session ends.
  const dropped = async (by: KafkaTransport, place: ChannelPlace): Promise<void> => {
    let code: unknown
    const isOver = async (): Promise<boolean> => {
      code = await drop(by, place).then(
        () => 'dropped',
        (error) => error.code,
      )
      return code !== 'CONFLICT'
    }
    await expect.poll(isOver, PATIENCE).toBe(true)
    expect(code).toBe('dropped')
  }

  it('goes with all that it had; made anew it is a new one, also for whoever knew the old one', async () => {
    const [operator, service] = [transport(), transport()]
    const channel = topicNamed('left')
    const { name } = channel
    const [left, used] = [
      { ...channel, group: 'left' },
      { ...channel, group: 'used' },
    ]
    await operator.prepare([left, used], 'create')
    await sendAll(operator, channel, [envelope('1'), envelope('2'), envelope('3')])
    const before = await collect(service, { channel, group: 'left' }, 2)
    await expect.poll(() => before.got.length, PATIENCE).toBe(2)
    for (const delivery of before.got) await delivery.settle('dead', { reason: 'bad' })
    expect(await service.deadLetters.redrive(left, [ids(before.got)[0] as string])).toBe(1)
    await before.receiver.close()
    // One was put back, one is left of the topic, and one letter.
    await expect.poll(async () => (await operator.inspect({ channel, group: 'left' })).waiting, PATIENCE).toBe(2)
    await dropped(operator, left)
    expect(await standing(name)).toEqual({
      topics: [name, `${name}.used.dead`, `${name}.used.retry`],
      groups: [`${name}.used`],
    })
    expect(await failureOf(operator.prepare([left], 'check'))).toMatchObject({ code: 'CHANNEL_NOT_FOUND' })
    await drop(operator, left)
    const again = await collect(service, { channel, group: 'left' }, 10)
    await sendAll(operator, channel, [envelope('4')])
    await expect.poll(() => ids(again.got), PATIENCE).toEqual(['4'])
    await again.got[0]?.settle('dead', { reason: 'anew' })
    const reasons: string[] = []
    for await (const letter of operator.deadLetters.list(left, { limit: 10 })) reasons.push(letter.reason)
    expect(reasons).toEqual(['anew'])
    expect(await operator.deadLetters.redrive(left, 'all')).toBe(1)
    await expect.poll(() => ids(again.got), PATIENCE).toEqual(['4', '4'])
    expect((await operator.inspect({ channel, group: 'used' })).waiting).toBe(4)
  }, 300_000)

  it('is not, while somebody receives from it here or elsewhere', async () => {
    const [operator, service] = [transport(), transport()]
    const channel = topicNamed('taken')
    const place = { ...channel, group: 'g' }
    await operator.prepare([place], 'create')
    await sendAll(operator, channel, [envelope('1')])
    for (const by of [service, operator]) {
      const { receiver, got } = await collect(by, { channel, group: 'g' }, 1)
      await expect.poll(() => ids(got), PATIENCE).toEqual(['1'])
      const conflict = await failureOf(drop(operator, place))
      expect(conflict).toMatchObject({ code: 'CONFLICT', effect: 'none', channel: channel.name })
      expect(conflict.message).toContain('close its receivers')
      await receiver.close()
    }
    await operator.prepare([place], 'check')
    await dropped(operator, place)
    expect(await standing(channel.name)).toEqual({ topics: [channel.name], groups: [] })
    // Who is about to join is in the way as well: the place that was made for him must not go before he is there.
    const joining = collect(operator, { channel, group: 'g' }, 10)
    expect(await failureOf(drop(operator, place))).toMatchObject({ code: 'CONFLICT' })
    const { got } = await joining
    await sendAll(operator, channel, [envelope('2')])
    await expect.poll(() => ids(got), PATIENCE).toEqual(['2'])
  }, 300_000)

  it('is not, where places of other topics would go with it, or topics of another group', async () => {
    const token = randomUUID().slice(0, 8)
    const shared = transport({ groupId: (_, group) => `all-${token}-${group}` })
    const [one, two] = [topicNamed('one'), topicNamed('two')]
    await shared.prepare(
      [
        { ...one, group: 'g' },
        { ...two, group: 'g' },
      ],
      'create',
    )
    const conflict = await failureOf(drop(shared, { ...one, group: 'g' }))
    expect(conflict).toMatchObject({ code: 'CONFLICT', effect: 'none' })
    expect(conflict.message).toContain(two.name)
    await shared.prepare([{ ...two, group: 'g' }], 'check')

    // `b.c` of `a` and `c` of `a.b` have the same dead letters, whatever their groups are called.
    const apart = transport({ groupId: ({ name }, group) => `${name}+${group}` })
    const a = topicNamed('a')
    const [ours, theirs] = [{ ...a, group: 'b.c' }, { kind: 'topic', name: `${a.name}.b`, group: 'c' } as const]
    await apart.prepare([ours, theirs], 'create')
    expect(await failureOf(drop(apart, ours))).toMatchObject({ code: 'CONFLICT', effect: 'none' })
    const dead = `${a.name}.b.c.dead`
    expect((await standing(a.name)).topics).toContain(dead)
    await apart.prepare([ours, theirs], 'check')
  }, 300_000)

  it('is one of a topic, and it need not be there', async () => {
    const one = transport()
    const channel = topicNamed('wrong')
    for (const wrong of [
      { kind: 'queue', name: channel.name } as const,
      channel,
      { ...channel, group: '' },
      // Who receives from a queue of that name has its place there.
      { ...channel, group: 'queue' },
    ])
      expect(await failureOf(drop(one, wrong))).toMatchObject({ code: 'INVALID_OPTIONS' })
    await drop(one, { ...channel, group: 'never' })
    await one.prepare([channel], 'create')
    await drop(one, { ...channel, group: 'never' })
    expect(await standing(channel.name)).toEqual({ topics: [channel.name], groups: [] })
  }, 300_000)
}
