// The recipe for questions and answers, on the memory transport.
import { memoryTransport } from 'fairlead/memory'
import { expect, test } from 'vitest'
import { checkout, pricing } from '../../examples/ask-and-answer.ts'

test('checkout is told a price, what is like it, or that nobody answered in time', async () => {
  const transport = memoryTransport()
  const shop = checkout(transport)
  const early = shop.price('A-1', 3)
  // Nobody is there yet: the question waits.
  const desk = pricing(
    transport,
    new Map([
      ['A-1', 250],
      ['A-2', 300],
    ]),
  )
  await desk.start()
  expect(await early).toBe('7.5 EUR')
  expect(await shop.price('B-9', 1)).toBe('no B-9, but A-1, A-2')
  expect(desk.stats()).toMatchObject({ replies: 1, failures: 1 })
  const asking = shop.price('A-2', 1)
  await shop.close()
  await expect(asking).rejects.toMatchObject({ code: 'SHUTDOWN' })
  await desk.close()
})
