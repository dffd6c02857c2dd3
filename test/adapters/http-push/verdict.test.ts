// What is known of a message is not forgotten: a status that has come, and the groups that have it.
import { Agent } from 'undici'
import { afterEach, describe, expect, it } from 'vitest'
import type { DispatchHandler } from '../../../src/adapters/http/undici.ts'
import { type HttpPushEvent, type HttpPushOptions, httpPushTransport } from '../../../src/adapters/http-push/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { Closing, envelope, errorOf, listen, queue, stub, topic, until, within } from './support.ts'

const closing = new Closing()
afterEach(() => closing.end())

const sender = (options: HttpPushOptions) => closing.add(httpPushTransport({ random: () => 0, ...options }))

describe('an answer whose body does not end', () => {
  it.each([
    ['the attempt timeout', { attemptTimeoutMs: 200 }, 1_000],
    ['the deadline', {}, 200],
  ] as const)(
    'a status is known however long its body lasts (until %s): refused is refused, once',
    async (_, options, ms) => {
      const clock = fakeClock()
      let asked = 0
      let cut = 0
      let begun = 0
      const url = await listen(closing, (request, response) => {
        asked++
        request.resume()
        response.on('close', () => void cut++)
        response.writeHead(422, { 'content-type': 'text/plain', 'content-length': '100' })
        response.write('no')
      })
      const agent = closing.add(new Agent())
      const dispatcher = {
        dispatch(given: object, handler: object): boolean {
          const noting = handler as DispatchHandler
          const { onResponseData } = noting
          noting.onResponseData = (...args) => {
            begun++
            onResponseData.apply(noting, args)
          }
          return agent.dispatch(given as never, handler as never)
        },
      }
      const told: HttpPushEvent[] = []
      const onEvent = (event: HttpPushEvent) => told.push(event)
      const transport = sender({ subscribers: { mails: url }, dispatcher, clock, onEvent, ...options })
      const sent = transport.send(queue('mails'), [envelope('1')], within(ms, clock).context)
      await until(() => begun === 1)
      await clock.advance(200)
      expect(errorOf((await sent)[0])).toMatchObject({ code: 'UNPROCESSABLE', effect: 'none', retryable: false })
      expect(told).toMatchObject([{ type: 'dead-letter', id: '1', kept: true }])
      await until(() => cut === 1)
      expect(asked).toBe(1)
      expect(clock.pending).toBe(0)
    },
  )
})

describe('a group refused it for good', () => {
  it.each([[false], [undefined]] as const)(
    'sent again, it goes to no group that has it (dead letters: %s)',
    async (deadLetters) => {
      let status = 422
      const billing = await stub(closing, () => ({ status: 204 }))
      const stock = await stub(closing, () => ({ status }))
      const transport = sender({ subscribers: { orders: { billing: billing.url, stock: stock.url } }, deadLetters })
      const send = (id: string = '1') => transport.send(topic('orders'), [envelope(id)], within().context)
      for (const times of [1, 2]) {
        expect(errorOf((await send())[0])).toMatchObject({ code: 'UNPROCESSABLE', retryable: false })
        expect([billing.requests.length, stock.requests.length]).toEqual([1, times])
      }
      status = 204
      expect(await send()).toEqual([{ status: 'accepted' }])
      expect([billing.requests.length, stock.requests.length]).toEqual([1, 3])
      // All have it: nothing is remembered, and what is sent now is sent as for the first time.
      expect(await send()).toEqual([{ status: 'accepted' }])
      expect([billing.requests.length, stock.requests.length]).toEqual([2, 4])
    },
  )

  it('of a queue, it is asked again', async () => {
    const { url, requests } = await stub(closing, () => ({ status: 422 }))
    const transport = sender({ subscribers: { mails: url } })
    for (const times of [1, 2]) {
      const [result] = await transport.send(queue('mails'), [envelope('1')], within().context)
      expect(errorOf(result)).toMatchObject({ code: 'UNPROCESSABLE', retryable: false })
      expect(requests).toHaveLength(times)
    }
  })
})
