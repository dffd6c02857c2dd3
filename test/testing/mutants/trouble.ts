// A connection that can be refused and fall silent, around a memory transport: what a real broker's network does.
import type { Clock } from '../../../src/core/clock.ts'
import type { CallContext } from '../../../src/core/context.ts'
import type { MessageTransport, SendResult } from '../../../src/core/contracts/transport.ts'
import { createError } from '../../../src/errors/classes.ts'
import type { Code } from '../../../src/errors/codes.ts'

/** The state of the network between the transports of one lab and their broker. */
export interface Network {
  state: 'up' | 'down' | 'silent'
  /** Ends the silence. */
  thaw(): void
  /** Resolves when the silence has ended. */
  readonly thawed: Promise<void>
}

export function network(): Network & { freeze(): void } {
  let release = (): void => undefined
  const net = {
    state: 'up' as Network['state'],
    thawed: Promise.resolve(),
    freeze() {
      net.state = 'silent'
      net.thawed = new Promise<void>((resolve) => {
        release = resolve
      })
    },
    thaw() {
      net.state = 'up'
      release()
    },
  }
  return net
}

/** The transport, as far as the network lets it. */
export function throughNetwork(real: MessageTransport, net: Network, clock: Clock): MessageTransport {
  const passable = async (): Promise<void> => {
    if (net.state === 'down') throw createError({ code: 'CONNECTION_REFUSED' })
    if (net.state === 'silent') await net.thawed
  }
  const failed = (count: number, code: Code, effect: 'none' | 'unknown'): readonly SendResult[] =>
    Array.from({ length: count }, () => ({ status: 'failed', error: createError({ code, effect }) }))
  let close = (): void => undefined
  const closed = new Promise<Code>((resolve) => {
    close = () => resolve('SHUTDOWN')
  })
  const silence = (context: CallContext): Promise<Code> =>
    Promise.race([
      closed,
      new Promise<Code>(
        (resolve) =>
          void clock.setTimer(() => resolve('TIMED_OUT'), Math.max(context.deadline.remainingMs(), 0), undefined),
      ),
    ])
  return {
    ...real,
    async prepare(...args) {
      await passable()
      return await real.prepare(...args)
    },
    async send(channel, envelopes, context) {
      if (net.state === 'down') return failed(envelopes.length, 'CONNECTION_REFUSED', 'none')
      if (net.state === 'up') return await real.send(channel, envelopes, context)
      return failed(envelopes.length, await silence(context), 'unknown')
    },
    close() {
      close()
      return real.close()
    },
    async receive(...args) {
      await passable()
      return await real.receive(...args)
    },
  }
}
