// Pushes through a troubled network: Toxiproxy slows, cuts, swallows and refuses. Nothing that was accepted is lost, and each failure says what is known.
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import {
  type HttpPushOptions,
  type HttpPushTransport,
  httpPushTransport,
} from '../../../src/adapters/http-push/index.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { createContext } from '../../../src/core/context.ts'
import type { SendResult } from '../../../src/core/contracts/transport.ts'
import { deadlineIn } from '../../../src/core/deadline.ts'
import type { Envelope } from '../../../src/core/message.ts'
import type { FairleadError } from '../../../src/errors/index.ts'
import { freePort } from '../../services/free-port.ts'
import { control, mendProxy } from '../../services/toxiproxy.ts'

const mails = { kind: 'queue', name: 'mails' } as const
const message = (id: string): Envelope => ({
  id,
  attributes: { specversion: '1.0', source: '/test', type: 'mail.wanted', datacontenttype: 'application/json' },
  headers: {},
  body: Buffer.from(JSON.stringify({ text: 'x'.repeat(20_000) })),
})

describe('pushes through a troubled network', () => {
  const name = `mails-${process.pid}`
  const handled: string[] = []
  let receiver: HttpPushTransport
  let server: Server
  let sender: HttpPushTransport
  let port: number
  const toxic = (type: string, attributes: object, stream = 'downstream'): Promise<void> =>
    control('POST', `/proxies/${name}/toxics`, { name: 'toxic', type, stream, attributes })
  const through = (options: HttpPushOptions = {}): void => {
    const subscribers = { mails: `http://127.0.0.1:${port}` }
    sender = httpPushTransport({ subscribers, attemptTimeoutMs: 300, retryBaseMs: 20, ...options })
  }
  const send = async (ids: readonly string[], deadlineMs: number): Promise<readonly SendResult[]> => {
    const deadline = deadlineIn(deadlineMs, systemClock)
    const { context } = createContext({ service: 'mails', operation: 'publish', deadline, idempotent: true })
    return sender.send(mails, ids.map(message), context)
  }
  const errorOf = (result: SendResult | undefined): FairleadError => {
    if (result?.status !== 'failed') throw new Error(`the message was ${result?.status}`)
    return result.error as FairleadError
  }

  beforeAll(async () => {
    receiver = httpPushTransport()
    const subscription = await receiver.receive({ channel: mails }, (delivery) => {
      handled.push(delivery.envelope.id)
      delivery.settle('ack').catch(() => {})
    })
    subscription.request(1_000_000)
    server = createServer(receiver.node())
    await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
    port = await freePort()
    const upstream = `127.0.0.1:${(server.address() as AddressInfo).port}`
    await control('POST', '/proxies', { name, listen: `127.0.0.1:${port}`, upstream })
  })
  afterEach(async () => {
    await mendProxy(name)
    await sender.close()
    handled.length = 0
  })
  afterAll(async () => {
    await control('DELETE', `/proxies/${name}`)
    await receiver.close()
    server.closeAllConnections()
    await new Promise((closed) => server.close(closed))
  })

  it('goes well when nothing is wrong', async () => {
    through({ attemptTimeoutMs: 20_000 })
    expect(await send(['1', '2'], 25_000)).toEqual([{ status: 'accepted' }, { status: 'accepted' }])
    expect([...handled].sort()).toEqual(['1', '2'])
  })

  it('refused: nothing was sent', async () => {
    through({ attemptTimeoutMs: 4_000, retryBaseMs: 10_000, random: () => 1 })
    await control('POST', `/proxies/${name}`, { enabled: false })
    expect(errorOf((await send(['1'], 4_500))[0])).toMatchObject({
      code: 'CONNECTION_REFUSED',
      effect: 'none',
      transient: true,
    })
    expect(handled).toEqual([])
  })

  it('cut as soon as it answers: handled, perhaps, and nobody knows', async () => {
    through({ attemptTimeoutMs: 4_000, retryBaseMs: 10_000, random: () => 1 })
    await toxic('limit_data', { bytes: 1 })
    expect(errorOf((await send(['1'], 4_500))[0])).toMatchObject({ effect: 'unknown', transient: true })
    expect(handled).toEqual(['1'])
  })

  it('cut in mid-publish: nobody knows, and it was not handled', async () => {
    through({ attemptTimeoutMs: 4_000, retryBaseMs: 10_000, random: () => 1 })
    await toxic('limit_data', { bytes: 2_000 }, 'upstream')
    expect(errorOf((await send(['1'], 4_500))[0])).toMatchObject({ effect: 'unknown', transient: true })
    expect(handled).toEqual([])
  })

  it('a black hole: every try has its timeout, the send its deadline', async () => {
    through()
    await toxic('timeout', { timeout: 0 })
    const error = errorOf((await send(['1'], 5_000))[0])
    expect(error).toMatchObject({ effect: 'unknown', transient: true })
    expect(['ATTEMPT_TIMEOUT', 'DEADLINE_EXCEEDED']).toContain(error.code)
  })

  it('a network that recovers within the deadline costs no message', async () => {
    through()
    await toxic('reset_peer', { timeout: 0 })
    const sent = send(['1', '2', '3'], 10_000)
    await new Promise((resolve) => setTimeout(resolve, 200))
    await control('DELETE', `/proxies/${name}/toxics/toxic`)
    expect(await sent).toEqual(Array.from({ length: 3 }, () => ({ status: 'accepted' })))
    expect(new Set(handled)).toEqual(new Set(['1', '2', '3']))
  })

  it('bytes in small pieces change nothing', async () => {
    through({ attemptTimeoutMs: 5_000 })
    await toxic('slicer', { average_size: 700, size_variation: 300, delay: 10 }, 'upstream')
    expect(await send(['1'], 10_000)).toEqual([{ status: 'accepted' }])
  })
})
