// The service of the HTTP bench, in a process of its own. As cheap as can be, so that it is the clients that are measured:
// it finds the end of each request's head and writes the same 1 KiB of JSON.
import { type AddressInfo, createServer } from 'node:net'
import { answering } from '../answering.ts'

const item = {
  sku: 'A-1',
  level: 7,
  warehouse: 'north',
  updatedAt: '2026-11-21T12:00:00.000Z',
  reserved: [1, 2, 3],
  note: '',
}
const body = JSON.stringify({ ...item, note: 'x'.repeat(1_024 - JSON.stringify(item).length) })
const reply = Buffer.from(
  `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: keep-alive\r\n\r\n${body}`,
)
const END = '\r\n\r\n'

const server = createServer((socket) => {
  socket.setNoDelay(true)
  let rest = ''
  socket.on('data', (chunk) => {
    rest += chunk.toString('latin1')
    for (let end = rest.indexOf(END); end >= 0; end = rest.indexOf(END)) {
      rest = rest.slice(end + END.length)
      socket.write(reply)
    }
  })
  socket.on('error', () => socket.destroy())
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

answering<object, { readonly url: string }>(async () => ({
  url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/stock/A-1`,
}))
