// A lab for the suite: each transport is a process with a server of its own, and a registry says who receives what, as one would at work.
import { createServer, type Server } from 'node:http'
import { connect, createServer as createTcpServer, type Socket } from 'node:net'
import {
  type HttpPushOptions,
  type HttpPushTransport,
  httpPushTransport,
  type Subscribers,
} from '../../../src/adapters/http-push/index.ts'
import type { ChannelPlace } from '../../../src/core/contracts/transport.ts'
import type { TransportLab } from '../../../src/testing/index.ts'
import { listening, serverOf, shut, url } from './support.ts'

interface Process {
  readonly transport: HttpPushTransport
  readonly server: Server
  readonly wire: Wire
}

/** Between sender and receiver: passes bytes on, or lets them vanish. */
interface Wire {
  readonly url: string
  frozen: boolean
  cut(): void
  close(): Promise<void>
}

export async function pushLab(form: 'node' | 'fetch', options: HttpPushOptions = {}): Promise<TransportLab> {
  const processes = new Set<Process>()
  const prepared = new Map<string, ChannelPlace>()
  const same = (place: ChannelPlace, kind: string, name: string): boolean => place.kind === kind && place.name === name

  // A place that was prepared is known, whether or not somebody receives it at the moment.
  const find = ({ kind, name }: { kind: string; name: string }): Subscribers | undefined => {
    const places = [...prepared.values()].filter((place) => same(place, kind, name))
    const urls = (group: string | undefined): string[] =>
      [...processes].flatMap(({ transport, wire }) =>
        transport.subscriptions().some((place) => same(place, kind, name) && place.group === group) ? [wire.url] : [],
      )
    if (places.length === 0 && urls(undefined).length === 0) return undefined
    if (kind === 'queue') return urls(undefined)
    const groups = places.flatMap(({ group }) => (group === undefined ? [] : [group]))
    const received = [...processes].flatMap(({ transport }) =>
      transport
        .subscriptions()
        .flatMap((place) => (same(place, kind, name) && place.group !== undefined ? [place.group] : [])),
    )
    return {
      '*': urls(undefined),
      ...Object.fromEntries([...new Set([...groups, ...received])].map((group) => [group, urls(group)])),
    }
  }

  return {
    async open({ leaseMs } = {}) {
      const transport = httpPushTransport({
        retryBaseMs: 10,
        retryMaxMs: 200,
        drainMs: 500,
        maxPayloadBytes: 100_000,
        subscribers: find,
        ...options,
        ...(leaseMs === undefined ? {} : { leaseMs }),
      })
      const { prepare } = transport
      transport.prepare = async (channels, mode) => {
        if (mode === 'create') for (const place of channels) prepared.set(JSON.stringify(place), place)
        await prepare.call(transport, channels, mode)
      }
      const server = createServer(serverOf(transport, form))
      await listening(server)
      const process = { transport, server, wire: await wireTo(server) }
      processes.add(process)
      const { close } = transport
      transport.close = async () => {
        await close.call(transport)
        processes.delete(process)
        await process.wire.close()
        await shut(server)
      }
      return transport
    },
    leaseMs: 1_500,
    quietMs: 100,
    ...(form === 'fetch' ? { heavy: 1_000 } : {}),
    async cut() {
      for (const { wire } of processes) wire.cut()
    },
    async freeze() {
      const frozen = [...processes]
      for (const { wire } of frozen) wire.frozen = true
      return async () => {
        for (const { wire } of frozen) {
          wire.frozen = false
          wire.cut()
        }
      }
    },
    async stop() {
      const stopped = [...processes].map(({ server }) => ({ server, port: Number(new URL(url(server)).port) }))
      for (const { server } of stopped) await shut(server)
      return async () => {
        for (const { server, port } of stopped) await listening(server, port)
      }
    },
    async close() {
      for (const { transport } of [...processes]) await transport.close()
    },
  }
}

async function wireTo(server: Server): Promise<Wire> {
  const port = Number(new URL(url(server)).port)
  const sockets = new Set<Socket>()
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  const join = (from: Socket, to: Socket): void => {
    sockets.add(from)
    from.on('data', (bytes) => {
      if (!wire.frozen && !to.write(bytes)) {
        from.pause()
        to.once('drain', () => from.resume())
      }
    })
    from.on('end', () => wire.frozen || to.end())
    from.on('error', () => {})
    from.on('close', () => {
      sockets.delete(from)
      if (!wire.frozen) to.destroy()
    })
  }
  const proxy = createTcpServer({ noDelay: true, allowHalfOpen: true }, (near) => {
    const far = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    join(near, far)
    join(far, near)
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const wire: Wire = {
    url: `http://127.0.0.1:${(proxy.address() as { readonly port: number }).port}`,
    frozen: false,
    cut,
    async close() {
      cut()
      await new Promise((resolve) => proxy.close(resolve))
    },
  }
  return wire
}
