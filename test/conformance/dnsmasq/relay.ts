// Between a source and a DNS server, packet by packet, so that the way between them can be slow, dead or bad; and a server can be put in another's place.
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { connect, createServer, type Socket } from 'node:net'
import { listenOnBoth } from '../../adapters/dns/dns-server.ts'

export interface DnsRelay {
  /** `127.0.0.1:port`. */
  readonly address: string
  readonly port: number
  /** The port of the server that is asked; undefined: nobody answers. */
  upstream: number | undefined
  delayMs: number
  /** Answers vanish. */
  frozen: boolean
  /** Answers are cut in their middle. */
  garbled: boolean
  /** How many questions of a type (33 for SRV) have come. */
  asked(type: number): number
  close(): Promise<void>
}

const typeOf = (packet: Buffer): number => {
  let at = 12
  while ((packet[at] ?? 0) > 0) at += 1 + (packet[at] as number)
  return packet.length >= at + 3 ? packet.readUInt16BE(at + 1) : 0
}

export const startRelay = async (): Promise<DnsRelay> => {
  const udp = createSocket('udp4')
  const asking = new Set<UdpSocket>()
  const sockets = new Set<Socket>()
  const timers = new Set<NodeJS.Timeout>()
  const counts = new Map<number, number>()
  const count = (packet: Buffer): void => void counts.set(typeOf(packet), (counts.get(typeOf(packet)) ?? 0) + 1)
  const later = (work: () => void): void => {
    if (relay.delayMs === 0) {
      work()
      return
    }
    const timer = setTimeout(() => {
      timers.delete(timer)
      work()
    }, relay.delayMs)
    timers.add(timer)
  }
  udp.on('message', (packet, from) => {
    count(packet)
    if (relay.upstream === undefined) return
    const socket = createSocket('udp4')
    asking.add(socket)
    const done = (): void => {
      if (asking.delete(socket)) socket.close()
    }
    socket.on('error', done).on('message', (answer) => {
      done()
      if (relay.frozen) return
      const sent = relay.garbled ? answer.subarray(0, answer.length >> 1) : answer
      later(() => udp.send(sent, from.port, from.address))
    })
    socket.send(packet, relay.upstream, '127.0.0.1')
  })
  const tcp = createServer((socket) => {
    const other = connect(relay.upstream ?? 1, '127.0.0.1')
    for (const each of [socket, other]) {
      sockets.add(each)
      each.on('close', () => sockets.delete(each)).on('error', () => each.destroy())
    }
    socket.on('close', () => other.destroy())
    other.on('close', () => socket.destroy())
    socket.once('data', (chunk) => count(chunk.subarray(2)))
    socket.pipe(other)
    other.on('data', (chunk) => {
      if (!relay.frozen) later(() => socket.write(chunk))
    })
  })
  const port = await listenOnBoth(udp, tcp)
  const relay: DnsRelay = {
    address: `127.0.0.1:${port}`,
    port,
    upstream: undefined,
    delayMs: 0,
    frozen: false,
    garbled: false,
    asked: (type) => counts.get(type) ?? 0,
    async close() {
      for (const timer of timers) clearTimeout(timer)
      for (const socket of sockets) socket.destroy()
      for (const socket of asking) socket.close()
      asking.clear()
      await Promise.all([new Promise<void>((done) => udp.close(done)), new Promise((done) => tcp.close(done))])
    },
  }
  return relay
}
