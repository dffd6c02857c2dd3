// A member by way of @platformatic/kafka, where the broker answers late or not at all.
import { fakeClock } from 'fairlead/testing'
import { expect, it } from 'vitest'
import { encodeAssignment } from '../../../../src/adapters/kafka/assignment.ts'
import type { MemberEvents } from '../../../../src/adapters/kafka/driver.ts'
import type { Fetcher } from '../../../../src/adapters/kafka/drivers/platformatic/fetcher.ts'
import type { Link } from '../../../../src/adapters/kafka/drivers/platformatic/link.ts'
import { PlatformaticMember } from '../../../../src/adapters/kafka/drivers/platformatic/member.ts'
import type { MemberParts } from '../../../../src/adapters/kafka/drivers/platformatic/member-parts.ts'
import { nextTurn } from '../../../../src/core/clock.ts'
import { createError } from '../../../../src/errors/index.ts'

const turns = async (): Promise<void> => {
  for (let count = 0; count < 5; count++) await new Promise<void>((resolve) => nextTurn(resolve, undefined))
}

const member = () => {
  const clock = fakeClock()
  const told: string[] = []
  const broker = {
    generation: 0,
    /** What becomes of the next attempt to join. */
    onJoin: async () => {},
    /** What becomes of the next question about the group. */
    onDescribe: async () => {},
    members: 1,
    described: 0,
    rejoin: false,
    closed: 0,
  }
  const events: MemberEvents = {
    onRebalancing: () => [],
    onAssigned: (assigned, kept) => void told.push(`assigned ${assigned.length} kept ${kept.length}`),
    onRevoking: async (some) => void told.push(`revoking ${some.length}`),
    onLost: (some) => void told.push(`lost ${some.length}`),
    onRecords: () => {},
    onEnded: ({ code }) => void told.push(`ended ${code}`),
  }
  const link: Link = {
    ask: (_, request) => request({ instanceId: 0 }),
    call: (async () => {
      broker.described++
      await broker.onDescribe()
      return new Map([['g', { members: new Map(Array.from({ length: broker.members }, (_, at) => [at, {}])) }]])
    }) as unknown as Link['call'],
    topic: async () => ({ count: 2, leaders: [] }),
    leader: async () => ({ host: 'h', port: 1 }),
    coordinator: async () => ({ host: 'h', port: 1 }),
    forget: () => {},
    close: async () => void broker.closed++,
  }
  const api = <T>(answer: () => T | Promise<T>) => ({ api: { async: async () => answer() } })
  const kafka = {
    joinGroupV6: api(async () => {
      await broker.onJoin()
      return {
        generationId: ++broker.generation,
        protocolName: 'fairlead-sticky',
        leader: 'x',
        memberId: 'm',
        members: [],
      }
    }),
    syncGroupV4: api(() => ({ assignment: encodeAssignment({ orders: [0, 1] }) })),
    heartbeatV4: api(() => {
      if (!broker.rejoin) return {}
      broker.rejoin = false
      throw createError({ code: 'LEASE_LOST', transport: 'kafka', details: { kafka: 'REBALANCE_IN_PROGRESS' } })
    }),
    leaveGroupV4: api(() => ({})),
    offsetCommitV8: api(() => ({ topics: [] })),
    protocolErrorsCodesById: {},
  } as unknown as MemberParts['kafka']
  const fetcher = {
    assign: () => {},
    placed: () => true,
    hold: () => {},
    close: async () => {},
  } as unknown as Fetcher
  const options = {
    sessionTimeoutMs: 30_000,
    rebalanceTimeoutMs: 60_000,
    heartbeatMs: 1_000,
    retryMs: 100,
    joinWithinMs: 90_000,
  }
  const parts = { kafka, membership: link, commits: link, clock, group: 'g', topics: ['orders'], options, events }
  return { clock, broker, told, one: new PlatformaticMember(parts, fetcher) }
}

it('asks again about the group where that failed, and not once it has left', async () => {
  const { clock, broker, told, one } = member()
  await one.start()
  broker.members = 2
  broker.onDescribe = async () => {
    if (broker.described <= 2) throw createError({ code: 'CONNECTION_LOST', transport: 'kafka' })
  }
  broker.rejoin = true
  await clock.advance(1_000)
  await turns()
  expect([broker.described, told]).toEqual([1, ['assigned 2 kept 0', 'assigned 2 kept 2']])
  await clock.advance(5_000)
  await turns()
  expect(broker.described).toBe(2)
  await clock.advance(5_000)
  await turns()
  expect(told).toContain('revoking 1')
  broker.onDescribe = async () => {
    throw createError({ code: 'CONNECTION_LOST', transport: 'kafka' })
  }
  await one.close()
  const { described } = broker
  await clock.advance(60_000)
  expect([broker.described, clock.pending]).toEqual([described, 0])
})

it('fails to start when nothing is assigned in time', async () => {
  const { clock, broker, told, one } = member()
  broker.onJoin = () => new Promise(() => {})
  const starting = expect(one.start()).rejects.toMatchObject({ code: 'TIMED_OUT', effect: 'none' })
  await clock.advance(90_000)
  await starting
  expect([told, broker.closed > 0]).toEqual([[], true])
})
