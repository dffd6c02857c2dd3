// A body that streams for long is no answer that is waited for: the lease hears of the head as soon as it is there.
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { request } from 'undici'
import { afterEach, expect, it } from 'vitest'
import { discoveryDispatcher } from '../../../src/adapters/http/discovery-dispatcher.ts'
import { createDiscovery } from '../../../src/discovery/discovery.ts'
import { staticSource } from '../../../src/discovery/static-source.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

it('a request whose body still streams is in flight, and nobody waits for its endpoint', async () => {
  let answering: ServerResponse | undefined
  const server = createServer((_, response) => {
    answering = response
    response.write('head and a piece')
  })
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  closing.push(() => new Promise((closed) => server.close(closed)))
  const { port } = server.address() as AddressInfo
  const discovery = createDiscovery({ source: staticSource({ inventory: [`127.0.0.1:${port}`] }) })
  const dispatcher = discoveryDispatcher(discovery)
  closing.push(
    () => discovery.close(),
    () => dispatcher.close(),
  )
  const { body } = await request('http://inventory/', { dispatcher })
  const [streaming] = discovery.inspect('inventory')?.endpoints ?? []
  expect(streaming).toMatchObject({ inFlight: 1, oldestInFlightMs: 0, latencyMs: expect.any(Number) })
  expect(streaming?.latencyMs).toBeGreaterThan(0)
  answering?.end()
  await body.text()
  expect(discovery.inspect('inventory')?.endpoints[0]).toMatchObject({ inFlight: 0, succeeded: 1 })
})
