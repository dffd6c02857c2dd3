// What a replica refuses before anything happens, and how it describes itself.

import { describe as describeTest, expect, it } from 'vitest'
import { z } from 'zod'
import { describe } from '../../../src/core/describe.ts'
import { queue } from '../../../src/messaging/index.ts'
import { memoryReplicaTable, replica } from '../../../src/messaging/replica/index.ts'
import { errorOf } from '../kit.ts'
import { CHANGES, channelOf, sourceOf } from './kit.ts'
import { memoryLab } from './memory-lab.ts'

describeTest('options of a replica', () => {
  const lab = memoryLab()
  const store = lab.processWith(() => undefined).store
  const channel = channelOf('customers')
  const transport = lab.transport()
  const good = {
    name: 'customers',
    store,
    table: memoryReplicaTable(store, { table: 'copy' }),
    transport,
    channel,
    changes: CHANGES,
    snapshot: sourceOf(lab, transport, channel).snapshot(),
  }

  it.each([
    ['name', { name: 'a b' }],
    ['store', { store: {} }],
    ['table', { table: 'copy' }],
    ['transport', { transport: undefined }],
    ['channel', { channel: queue('q', { told: z.object({}) }) }],
    ['group', { group: '' }],
    ['changes', { changes: {} }],
    ['changes.unknown', { changes: { unknown: () => undefined } }],
    ['changes.customer.closed', { changes: { 'customer.closed': true } }],
    ['snapshot', { snapshot: [] }],
    ['keep', { keep: 'NL' }],
    ['giveUp', { giveUp: true }],
    ['tombstonesMs', { tombstonesMs: -1 }],
    ['lookEveryMs', { lookEveryMs: 0 }],
    ['replica.keeps', { keeps: () => true }],
  ])('names %s and the fix', async (option, wrong) => {
    const error = await errorOf(() => replica({ ...good, ...wrong } as never))
    expect(error).toMatchObject({ code: 'INVALID_OPTIONS', details: { option } })
  })

  it('says how it was built', () => {
    expect(describe(replica(good as never))).toMatchObject({
      what: 'replica',
      name: 'customers',
      table: 'copy',
      handles: ['customer.changed', 'customer.closed', 'customers.alive'],
      options: { group: 'replica.customers', tombstonesMs: 1_209_600_000, keeps: 'all' },
    })
  })
})
