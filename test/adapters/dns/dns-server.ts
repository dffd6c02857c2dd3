// A DNS server in the test: says what it is told to over UDP and TCP, in packets made by hand, the broken ones too.
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

export interface DnsQuestion {
  readonly name: string
  readonly type: 'A' | 'AAAA' | 'SRV' | number
  readonly over: 'udp' | 'tcp'
}

export interface DnsRecord {
  readonly type: 'A' | 'AAAA' | 'SRV'
  readonly ttl: number
  /** An address, or `priority weight port target`. */
  readonly value: string
}

/** Records with a code (0: NOERROR, 2: SERVFAIL, 3: NXDOMAIN, 5: REFUSED), `truncated` for "ask over TCP"; bytes as they are; nothing at all. */
export type DnsAnswer =
  | { readonly rcode?: number; readonly records?: readonly DnsRecord[]; readonly truncated?: boolean }
  | Buffer
  | 'nothing'

export interface DnsServer {
  /** `127.0.0.1:port`. */
  readonly address: string
  readonly questions: DnsQuestion[]
  answer: (question: DnsQuestion) => DnsAnswer
  /** Connections over TCP that are open. */
  readonly open: number
  close(): Promise<void>
}

const TYPES = { A: 1, AAAA: 28, SRV: 33 } as const

export const dnsServer = async (answer: DnsServer['answer']): Promise<DnsServer> => {
  const udp = createSocket('udp4')
  const sockets = new Set<Socket>()
  const tcp = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
    let pending = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk])
      while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
        const length = pending.readUInt16BE(0)
        const reply = respond(pending.subarray(2, 2 + length), 'tcp')
        pending = pending.subarray(2 + length)
        if (reply === undefined) continue
        const head = Buffer.alloc(2)
        head.writeUInt16BE(reply.length)
        socket.write(Buffer.concat([head, reply]))
      }
    })
  })
  const server: DnsServer = {
    address: '',
    questions: [],
    answer,
    get open() {
      return sockets.size
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      await Promise.all([new Promise<void>((done) => udp.close(done)), new Promise((done) => tcp.close(done))])
    },
  }
  const respond = (packet: Buffer, over: 'udp' | 'tcp'): Buffer | undefined => {
    const question = readQuestion(packet, over)
    server.questions.push(question)
    const said = server.answer(question)
    return said === 'nothing' ? undefined : Buffer.isBuffer(said) ? said : packetOf(packet, said)
  }
  udp.on('message', (packet, from) => {
    const reply = respond(packet, 'udp')
    if (reply !== undefined) udp.send(reply, from.port, from.address)
  })
  const port = await listenOnBoth(udp, tcp)
  return Object.assign(server, { address: `127.0.0.1:${port}` })
}

// The same port for both, as clients that go on to TCP expect; the one that is free for TCP may be taken for UDP.
export const listenOnBoth = async (udp: UdpSocket, tcp: Server): Promise<number> => {
  for (let tries = 0; ; tries++) {
    await new Promise<void>((ready) => tcp.listen(0, '127.0.0.1', ready))
    const { port } = tcp.address() as AddressInfo
    try {
      await new Promise<void>((ready, fail) => {
        udp.once('error', fail).bind(port, '127.0.0.1', () => {
          udp.off('error', fail)
          ready()
        })
      })
      return port
    } catch (error) {
      if (tries === 20) throw error
      await new Promise((closed) => tcp.close(closed))
    }
  }
}

const readQuestion = (packet: Buffer, over: 'udp' | 'tcp'): DnsQuestion => {
  const labels: string[] = []
  let at = 12
  for (let length = packet[at] as number; length > 0; length = packet[at] as number) {
    labels.push(packet.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  const code = packet.readUInt16BE(at + 1)
  const type = (Object.entries(TYPES).find(([, each]) => each === code)?.[0] ?? code) as DnsQuestion['type']
  return { name: labels.join('.').toLowerCase(), type, over }
}

const nameOf = (name: string): Buffer =>
  Buffer.concat([
    ...name
      .split('.')
      .filter((each) => each !== '')
      .map((each) => Buffer.from(String.fromCharCode(each.length) + each, 'latin1')),
    Buffer.from([0]),
  ])

const packetOf = (
  asked: Buffer,
  { rcode = 0, records = [], truncated = false }: Exclude<DnsAnswer, Buffer | string>,
): Buffer => {
  let end = 12
  while (asked[end] !== 0) end += 1 + (asked[end] as number)
  const head = Buffer.alloc(12)
  head.writeUInt16BE(asked.readUInt16BE(0), 0)
  head.writeUInt16BE(0x8180 | rcode | (truncated ? 0x0200 : 0), 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(records.length, 6)
  return Buffer.concat([head, asked.subarray(12, end + 5), ...records.map(recordOf)])
}

const recordOf = ({ type, ttl, value }: DnsRecord): Buffer => {
  const data = dataOf(type, value)
  const head = Buffer.alloc(12)
  // The name is that of the question.
  head.writeUInt16BE(0xc00c, 0)
  head.writeUInt16BE(TYPES[type], 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt32BE(ttl, 6)
  head.writeUInt16BE(data.length, 10)
  return Buffer.concat([head, data])
}

const dataOf = (type: DnsRecord['type'], value: string): Buffer => {
  if (type === 'A') return Buffer.from(value.split('.').map(Number))
  if (type === 'AAAA') {
    const [head = '', tail = ''] = value.split('::')
    const groups = (text: string): number[] =>
      text === '' ? [] : text.split(':').map((each) => Number.parseInt(each, 16))
    const [left, right] = [groups(head), groups(tail)]
    const all = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right]
    return Buffer.from(all.flatMap((each) => [each >> 8, each & 255]))
  }
  const [priority, weight, port, target = ''] = value.split(' ')
  const numbers = Buffer.alloc(6)
  for (const [at, each] of [priority, weight, port].entries()) numbers.writeUInt16BE(Number(each), at * 2)
  return Buffer.concat([numbers, nameOf(target)])
}

/** Sockets of this machine that are connected to a port: those that a resolver has open. Undefined where that cannot be told. */
export const connectedTo = (port: number): number | undefined => {
  if (process.platform !== 'linux') return undefined
  const hex = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return ['udp', 'tcp']
    .flatMap((each) => readFileSync(`/proc/net/${each}`, 'utf8').split('\n'))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , remote, state]) => remote?.endsWith(hex) === true && state === '01').length
}
