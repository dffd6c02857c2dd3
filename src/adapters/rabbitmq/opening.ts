// Channels, within a bound: a client may try to connect for ever, and a connection that fell silent answers nothing.
import type { Clock } from '../../core/clock.ts'
import { endsWithin } from '../../core/patience.ts'
import { afterSilence } from '../../core/silence.ts'
import { createError } from '../../errors/index.ts'
import type { AmqpChannel, AmqpDriver } from './driver.ts'

const CLOSE_MS = 1_000

/** What bounds it. */
export interface Bounds {
  readonly name: string
  readonly clock: Clock
  readonly answerMs: number
}

/** A channel. One that comes too late is closed. @throws FairleadError effect `none` */
export function openChannel(driver: AmqpDriver, bounds: Bounds, confirms: boolean = false): Promise<AmqpChannel> {
  const { name, clock, answerMs } = bounds
  return new Promise((resolve, reject) => {
    let late = false
    const stop = afterSilence(clock, answerMs, () => {
      late = true
      const message = `no connection to the broker within ${answerMs} ms`
      reject(createError({ code: 'CONNECT_TIMEOUT', message, transport: name }))
    })
    driver.channel({ confirms }).then(
      (channel) => {
        stop()
        if (late) void closeChannel(channel, bounds)
        else resolve(channel)
      },
      (error: unknown) => {
        stop()
        reject(error)
      },
    )
  })
}

/** Closes it, and waits for that for a second at most. Never rejects. */
export async function closeChannel(channel: AmqpChannel, { clock }: Pick<Bounds, 'clock'>): Promise<void> {
  try {
    await endsWithin(channel.close(), CLOSE_MS, clock)
  } catch {
    // A channel that cannot be closed is gone.
  }
}
