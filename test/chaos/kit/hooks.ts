// Where a worker kills or stops itself on command: exactly between publish and mark, between commit and ack, and in the middle of a handler.
import type { OutboxStore, Store } from '../../../src/core/contracts/store.ts'
import type { Delivery, MessageTransport } from '../../../src/core/contracts/transport.ts'
import type { Asked, Hook, Reported } from './words.ts'

interface Armed {
  readonly hook: Hook
  readonly partitions: readonly number[] | undefined
}

export const report = (what: Reported): void => void process.send?.(what)

// What is said must have left before the process ends or stands still.
const reportFirst = (what: Reported): Promise<void> =>
  new Promise((said) => {
    if (process.send === undefined) said()
    else process.send(what, () => said())
  })

export class Hooks {
  #armed: Armed | undefined

  hear({ do: what, ...armed }: Asked): void {
    if (what === 'arm') this.#armed = armed as Armed
  }

  /** @returns whether it stood still here */
  async at(hooks: readonly Hook[], partitions: readonly number[] = []): Promise<boolean> {
    const armed = this.#armed
    if (armed === undefined || !hooks.includes(armed.hook)) return false
    if (armed.partitions !== undefined && !partitions.some((each) => armed.partitions?.includes(each))) return false
    this.#armed = undefined
    await reportFirst({ is: 'at', hook: armed.hook, partitions })
    process.kill(process.pid, armed.hook.startsWith('kill') ? 'SIGKILL' : 'SIGSTOP')
    // A signal to oneself may take a moment.
    await new Promise((resolve) => setTimeout(resolve, 5))
    return armed.hook.startsWith('stop')
  }
}

/** A store that comes to a hook before each mark, and tells of leases. */
export function hookedStore<Tx>(store: Store<Tx>, hooks: Hooks): Store<Tx> {
  const { outbox } = store
  const known = new Map<number, bigint>()
  const partitions = new Map<bigint, number>()
  const hooked: OutboxStore<Tx> = {
    ...outbox,
    lease: async (relay, forMs) => {
      const leases = await outbox.lease(relay, forMs)
      const news = leases.filter(({ partition, epoch }) => known.get(partition) !== epoch)
      for (const { partition, epoch } of news) known.set(partition, epoch)
      if (news.length > 0)
        report({ is: 'leased', epochs: news.map(({ partition, epoch }) => [partition, String(epoch)] as const) })
      return leases
    },
    pending: async (leases, limit) => {
      const rows = await outbox.pending(leases, limit)
      for (const { sequence, partition } of rows) partitions.set(sequence, partition)
      return rows
    },
    settle: async (leases, verdicts) => {
      const marked = verdicts.filter(({ verdict }) => verdict === 'published')
      const concerned = [...new Set(marked.map(({ sequence }) => partitions.get(sequence) ?? -1))]
      const stood = marked.length > 0 && (await hooks.at(['kill-before-mark', 'stop-before-mark'], concerned))
      const count = await outbox.settle(leases, verdicts)
      if (stood) {
        const epochs = new Map(leases.map(({ partition, epoch }) => [partition, String(epoch)] as const))
        const rows = verdicts.map(({ sequence }) => {
          const partition = partitions.get(sequence) ?? -1
          return [partition, epochs.get(partition) ?? '-1'] as const
        })
        report({ is: 'marked', count, rows })
      }
      for (const { sequence } of verdicts) partitions.delete(sequence)
      return count
    },
  }
  return { ...store, outbox: hooked }
}

/** A transport that comes to a hook before each acknowledgement. */
export function hookedTransport(transport: MessageTransport, hooks: Hooks): MessageTransport {
  return withDeliveries(transport, (delivery) => ({
    ...plain(delivery),
    settle: async (verdict, options) => {
      if (verdict === 'ack') await hooks.at(['kill-before-ack', 'stop-before-ack'])
      await delivery.settle(verdict, options)
    },
  }))
}

/** The same transport with other deliveries. */
export function withDeliveries(
  transport: MessageTransport,
  change: (delivery: Delivery) => Delivery,
): MessageTransport {
  const { name, capabilities, deadLetters } = transport
  return {
    name,
    capabilities,
    prepare: (channels, mode) => transport.prepare(channels, mode),
    send: (channel, envelopes, context) => transport.send(channel, envelopes, context),
    receive: (from, sink) => transport.receive(from, (delivery) => sink(change(delivery))),
    ...(transport.inspect === undefined ? {} : { inspect: transport.inspect.bind(transport) }),
    deadLetters,
    close: () => transport.close(),
  }
}

/** What a delivery is, without its class. */
export function plain(delivery: Delivery): Delivery {
  const { envelope, lane, position, redeliveries, leaseMs } = delivery
  return {
    envelope,
    lane,
    position,
    redeliveries,
    leaseMs,
    onLost: (listener) => delivery.onLost(listener),
    settle: (verdict, options) => delivery.settle(verdict, options),
    ...(delivery.extend === undefined ? {} : { extend: delivery.extend.bind(delivery) }),
  }
}
