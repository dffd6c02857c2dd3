// The order example with one of its services a process that is killed (SIGKILL) at the worst moments, and started again: every order is completed, and nothing is done twice.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { childrenOf, validatedOnce } from './create-order-children.ts'
import { type Lab, ORDER, openLab, until } from './create-order-lab.ts'

let it: Lab
let children: ReturnType<typeof childrenOf>
beforeEach(() => {
  it = openLab()
  children = childrenOf(it)
})
afterEach(async () => {
  await children.end()
  await it.end()
})

describe.for([
  ['consumers', 'restaurants'],
  ['restaurants', 'consumers'],
] as const)('the service of the %s dies, and comes back', ([mortal, other]) => {
  test.for([
    ['after its commit, before the order service is told that it was asked', { at: 'handled', channel: mortal }],
    ['before its answer is sent', { at: 'sending', channel: 'process.create-order' }],
    ['after its answer was sent, before that is noted', { at: 'sent', channel: 'process.create-order' }],
  ] as const)('%s', { timeout: 90_000 }, async ([, death]) => {
    await it.start('orders')
    await it.start(other)
    const child = await children.start(mortal, death)
    const orderId = await it.place()
    await children.dies(mortal, child)
    // Nothing of it holds up the other half.
    await until('the other one has answered', async () => (await it.history(orderId)).length >= 2)
    await children.start(mortal)
    await validatedOnce(it, orderId)
  })
})

describe('the order service dies, and comes back', () => {
  test.for([
    ['at its first commit, before anything of it is sent', { at: 'sending', channel: 'order-events' }],
    ['when it has begun with it, before that is acknowledged', { at: 'handled', channel: 'create-order' }],
    ['when one of them is asked, before that is noted', { at: 'sent', channel: 'restaurants' }],
    [
      'when it has understood an answer, before that is acknowledged',
      { at: 'handled', channel: 'process.create-order' },
    ],
  ] as const)('%s', { timeout: 90_000 }, async ([, death]) => {
    await it.start('consumers')
    await it.start('restaurants')
    const child = await children.start('orders', death)
    // The answer may be lost with it: then the client asks again, with the same key.
    const first = await it.post(ORDER, 'k-1').catch(() => undefined)
    const said = first === undefined ? undefined : await first.json().catch(() => undefined)
    await children.dies('orders', child)
    await children.start('orders')
    const again = await it.post(ORDER, 'k-1')
    const answer = (await again.json()) as { orderId: string }
    expect(again.status).toBe(202)
    expect(answer).toEqual(said ?? { orderId: expect.any(String), status: 'PENDING' })
    await validatedOnce(it, answer.orderId)
  })
})
