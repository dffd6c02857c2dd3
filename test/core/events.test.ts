import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createEvents, type PipelineEvent } from '../../src/core/events.ts'

const event: PipelineEvent = { type: 'refused', service: 'stock', operation: 'get', code: 'CIRCUIT_OPEN' }
const CHANNEL = 'fairlead:event'
const subscribed: ((message: unknown, name: string | symbol) => void)[] = []
const listen = (subscriber: (message: unknown) => void): void => {
  subscribed.push(subscriber)
  subscribe(CHANNEL, subscriber)
}
afterEach(() => {
  for (const subscriber of subscribed.splice(0)) unsubscribe(CHANNEL, subscriber)
})

describe('events', () => {
  test('are heard by a listener, by the channel, or by nobody', () => {
    const [quiet, loud] = [createEvents(), createEvents(() => undefined)]
    expect([quiet.heard, loud.heard]).toEqual([false, true])
    const message = vi.fn()
    listen(message)
    expect(quiet.heard).toBe(true)
    quiet.emit(event)
    expect(message).toHaveBeenCalledExactlyOnceWith(event, CHANNEL)
    unsubscribe(CHANNEL, subscribed.pop() as never)
    expect(quiet.heard).toBe(false)
  })

  test('go to the listener and to the channel', () => {
    const [listener, message] = [vi.fn(), vi.fn()]
    listen(message)
    createEvents(listener).emit(event)
    expect(listener).toHaveBeenCalledExactlyOnceWith(event)
    expect(message).toHaveBeenCalledTimes(1)
  })

  test('a listener that throws is no matter of the call, and the channel still hears', () => {
    const message = vi.fn()
    listen(message)
    const events = createEvents(() => {
      throw new Error('of the listener')
    })
    expect(() => events.emit(event)).not.toThrow()
    expect(message).toHaveBeenCalledTimes(1)
  })

  test('an async listener that rejects does not end the process', async () => {
    const rejections = vi.fn()
    process.on('unhandledRejection', rejections)
    const events = createEvents(async () => {
      throw new Error('of the listener')
    })
    events.emit(event)
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
    process.off('unhandledRejection', rejections)
    expect(rejections).not.toHaveBeenCalled()
  })
})
