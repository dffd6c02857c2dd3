import { getEventListeners } from 'node:events'
import { expect, test, vi } from 'vitest'
import { onSignal } from '../../src/core/signals.ts'

const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length

test('a hundred hearers are one listener, and each hears the reason once', () => {
  const controller = new AbortController()
  const hearers = Array.from({ length: 100 }, () => vi.fn())
  for (const hearer of hearers) onSignal(controller.signal, hearer)
  expect(listeners(controller.signal)).toBe(1)
  controller.abort('why')
  for (const hearer of hearers) expect(hearer).toHaveBeenCalledExactlyOnceWith('why')
  expect(listeners(controller.signal)).toBe(0)
})

test('when the last has stopped, nothing is left, and it can begin again', () => {
  const controller = new AbortController()
  const [one, other] = [vi.fn(), vi.fn()]
  const stops = [onSignal(controller.signal, one), onSignal(controller.signal, other)]
  stops[0]?.()
  stops[0]?.()
  expect(listeners(controller.signal)).toBe(1)
  stops[1]?.()
  expect(listeners(controller.signal)).toBe(0)
  onSignal(controller.signal, other)
  controller.abort('why')
  expect(one).not.toHaveBeenCalled()
  expect(other).toHaveBeenCalledTimes(1)
})

test('one that stops another while it is told, or itself, does no harm', () => {
  const controller = new AbortController()
  const stops: (() => void)[] = []
  const last = vi.fn()
  stops.push(
    onSignal(controller.signal, () => {
      for (const stop of stops) stop()
    }),
  )
  stops.push(onSignal(controller.signal, last))
  controller.abort()
  expect(last).toHaveBeenCalledTimes(1)
  expect(listeners(controller.signal)).toBe(0)
})

test('leaves no trace that a user would see', () => {
  const { signal } = new AbortController()
  onSignal(signal, () => undefined)
  expect(Object.keys(signal)).toEqual([])
})
