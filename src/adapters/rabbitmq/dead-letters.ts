// Messages that were given up: looked at, and put back. To look is to take them without an acknowledgement and to let go of them again.
import type { DeadLetter } from '../../core/contracts/transport.ts'
import type { AmqpChannel, AmqpDriver, AmqpMessage } from './driver.ts'
import { closeChannel, openChannel } from './opening.ts'
import type { Settings } from './options.ts'
import type { Sender } from './sender.ts'
import { deadOf, type Topology } from './topology.ts'
import { again, deathOf, fromAmqp } from './wire.ts'

/** The dead letters of a transport. */
export class DeadLetterBox {
  private readonly driver: AmqpDriver
  private readonly settings: Settings
  private readonly sender: Sender
  private readonly topology: Topology
  // Two that look at once would see a part each.
  private last: Promise<unknown> = Promise.resolve()

  constructor(driver: AmqpDriver, settings: Settings, sender: Sender, topology: Topology) {
    this.driver = driver
    this.settings = settings
    this.sender = sender
    this.topology = topology
  }

  /** Those of a queue, oldest first. @throws FairleadError `CHANNEL_NOT_FOUND` */
  list(queue: string, limit: number): Promise<readonly DeadLetter[]> {
    return this.inTurn(queue, async (channel) => {
      const letters: DeadLetter[] = []
      while (letters.length < limit) {
        const message = await channel.get(deadOf(queue))
        if (message === undefined) break
        letters.push(this.letterOf(message, queue))
      }
      return letters
    })
  }

  /** Publishes them to their queue, then takes them out. Answers how many. @throws FairleadError `CHANNEL_NOT_FOUND` */
  redrive(queue: string, ids: readonly string[] | 'all'): Promise<number> {
    const wanted = ids === 'all' ? undefined : new Set(ids)
    return this.inTurn(queue, async (channel) => {
      const startedAt = this.settings.clock.wallNow()
      const moved = new Set<string>()
      const moves: Promise<void>[] = []
      for (;;) {
        const message = await channel.get(deadOf(queue))
        if (message === undefined) break
        const { id } = fromAmqp(message, queue)
        if (wanted !== undefined && !wanted.has(id)) continue
        // It was put back, and given up again meanwhile: this would not end.
        if (moved.has(id) && (deathOf(message).at ?? 0) >= startedAt) break
        moved.add(id)
        const { deliveryTag } = message
        const to = { exchange: '', routingKey: queue }
        moves.push(this.sender.move(to, again(message, {})).then(() => channel.ack(deliveryTag)))
      }
      const ended = await Promise.allSettled(moves)
      for (const each of ended) if (each.status === 'rejected') throw each.reason
      return moves.length
    })
  }

  private inTurn<T>(queue: string, work: (channel: AmqpChannel) => Promise<T>): Promise<T> {
    const turn = this.last.then(() => this.look(queue, work))
    this.last = turn.catch(nothing)
    return turn
  }

  private async look<T>(queue: string, work: (channel: AmqpChannel) => Promise<T>): Promise<T> {
    // A queue that is not there has none, and that is said.
    await this.topology.checkQueue(queue)
    const channel = await openChannel(this.driver, this.settings)
    try {
      const found = await work(channel)
      // All that was not acknowledged, before the answer: whoever looks next sees it again.
      channel.nack(0, true, true)
      await channel.prefetch(1)
      return found
    } finally {
      await closeChannel(channel, this.settings)
    }
  }

  private letterOf(message: AmqpMessage, queue: string): DeadLetter {
    const { reason, at } = deathOf(message)
    return { envelope: fromAmqp(message, queue), reason, at: at ?? this.settings.clock.wallNow() }
  }
}

function nothing(): void {}
