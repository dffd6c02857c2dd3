// Acknowledgements put together, against a channel that answers as the broker does: a tag that is not open ends it.
import { describe, expect, it } from 'vitest'
import { AckLine } from '../../../src/adapters/rabbitmq/ack-line.ts'
import type { AmqpChannel } from '../../../src/adapters/rabbitmq/driver.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'

function channelWith(open: Set<number>) {
  const written: string[] = []
  const take = (tag: number): void => {
    if (!open.delete(tag)) throw new Error(`unknown delivery tag ${tag}`)
  }
  const channel = {
    ack(tag: number, multiple?: boolean) {
      written.push(`ack ${multiple === true ? 'up to ' : ''}${tag}`)
      take(tag)
      if (multiple === true) for (const each of [...open]) if (each < tag) open.delete(each)
    },
    nack(tag: number) {
      written.push(`nack ${tag}`)
      take(tag)
    },
  } as Partial<AmqpChannel> as AmqpChannel
  return { channel, written }
}

function lineOf(count: number) {
  const open = new Set(Array.from({ length: count }, (_, at) => at + 1))
  const { channel, written } = channelWith(open)
  const line = new AckLine(channel)
  for (const tag of open) line.came(tag)
  return { line, open, written }
}

describe('acknowledgements of a turn', () => {
  it('go as one as far as nothing before them is open', () => {
    const { line, written, open } = lineOf(6)
    for (const tag of [3, 1, 2, 5]) line.add(tag)
    line.write()
    expect(written).toEqual(['ack 5', 'ack up to 3'])
    expect([...open]).toEqual([4, 6])
    line.add(4)
    line.write()
    line.add(6)
    line.write()
    expect(written.slice(2)).toEqual(['ack 4', 'ack 6'])
  })

  it('never name one that was given back', () => {
    const { line, written, open } = lineOf(4)
    line.nack(3)
    for (const tag of [1, 2]) line.add(tag)
    line.write()
    expect(written).toEqual(['nack 3', 'ack up to 2'])
    expect([...open]).toEqual([4])
  })

  it('settle what was added and nothing else, in whatever order it comes', () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = seededRandom(seed)
      const open = new Set<number>()
      const { channel } = channelWith(open)
      const line = new AckLine(channel)
      const held: number[] = []
      const added = new Set<number>()
      for (let step = 0, tag = Math.floor(random() * 5); step < 200; step++) {
        const draw = random()
        if (draw < 0.5) {
          open.add(++tag)
          line.came(tag)
          held.push(tag)
        } else if (draw < 0.85 && held.length > 0) {
          const [one] = held.splice(Math.floor(random() * held.length), 1)
          line.add(one as number)
          added.add(one as number)
        } else if (draw < 0.9 && held.length > 0) {
          const [one] = held.splice(Math.floor(random() * held.length), 1)
          line.nack(one as number)
        } else {
          line.write()
          added.clear()
        }
        expect([...open].sort((a, b) => a - b)).toEqual([...held, ...added].sort((a, b) => a - b))
      }
    }
  })
})
