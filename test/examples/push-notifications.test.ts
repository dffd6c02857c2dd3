// The recipe for push notifications, over real sockets: shared, paused by the vendor, given up with a reason, and nothing unsigned.
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { phoneService, shop } from '../../examples/push-notifications.ts'

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const OTHER = 'whsec_b3RoZXIgc2VjcmV0IG9mIDI0IGJ5dGU='

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const listening = async (server: Server): Promise<string> => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  ends.push(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('each notification goes to one of the phone services, with a pause where the vendor asks for one', async () => {
  const sent: string[][] = [[], []]
  let busy = true
  const urls: string[] = []
  for (const mine of sent) {
    const { server, close } = await phoneService(SECRET, async (device) => {
      if (device === 'gone') return 410
      if (device === 'busy' && busy) {
        busy = false
        return 429
      }
      mine.push(device)
      return 200
    })
    urls.push(await listening(server))
    ends.push(close)
  }
  const { moved, transport, close } = shop(SECRET, urls)
  ends.push(close)

  const results = await Promise.all(Array.from({ length: 20 }, (_, n) => moved(`phone-${n}`, 'On its way')))
  expect(results.map(({ status }) => status)).toEqual(results.map(() => 'accepted'))
  expect(sent.map(({ length }) => length)).toEqual([10, 10])
  expect(await moved('busy', 'Arrived')).toMatchObject({ status: 'accepted' })
  expect(sent.flat().filter((device) => device === 'busy')).toHaveLength(1)

  expect(await moved('gone', 'Arrived')).toMatchObject({ status: 'failed', error: { code: 'UNPROCESSABLE' } })
  const reasons: string[] = []
  const notifications = { kind: 'queue', name: 'notifications' } as const
  for await (const { reason } of transport.deadLetters?.list(notifications, { limit: 10 }) ?? []) reasons.push(reason)
  expect(reasons).toEqual([expect.stringContaining('gone has the app no more')])
})

test('nobody without the secret notifies a phone', async () => {
  let notified = 0
  const { server, close } = await phoneService(SECRET, async () => {
    notified++
    return 200
  })
  const url = await listening(server)
  ends.push(close)
  const forger = shop(OTHER, [url])
  ends.push(forger.close)
  expect(await forger.moved('phone-1', 'Click here')).toMatchObject({
    status: 'failed',
    error: { code: 'SIGNATURE_INVALID' },
  })
  expect(notified).toBe(0)
})
