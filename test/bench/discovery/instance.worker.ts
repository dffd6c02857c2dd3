// One of the five servers: answers each request after a while, which can be changed; to be killed. On the address and port that it is given.
import { type AddressInfo, createServer } from 'node:net'
import { answering } from '../answering.ts'

const [, , host = '127.0.0.1', port = '0', delay = '0'] = process.argv
const REPLY = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok'
const END = '\r\n\r\n'
let delayMs = Number(delay)

const server = createServer((socket) => {
  socket.setNoDelay(true)
  let rest = ''
  socket.on('data', (chunk) => {
    rest += chunk.toString('latin1')
    for (let end = rest.indexOf(END); end >= 0; end = rest.indexOf(END)) {
      rest = rest.slice(end + END.length)
      setTimeout(() => socket.write(REPLY), delayMs)
    }
  })
  socket.on('error', () => socket.destroy())
})
await new Promise<void>((resolve, reject) => {
  server.once('error', reject)
  server.listen({ host, port: Number(port), backlog: 511 }, resolve)
})

answering<{ readonly delayMs?: number }, { readonly pid: number; readonly port: number }>(async (ask) => {
  delayMs = ask.delayMs ?? delayMs
  return { pid: process.pid, port: (server.address() as AddressInfo).port }
})
