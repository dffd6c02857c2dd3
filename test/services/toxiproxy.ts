// Proxies of the Toxiproxy that test/services/up has started: what stands behind one is slowed, cut, swallowed or refused on command.

import { freePort } from './free-port.ts'
import { type ServerAddress, server } from './servers.ts'

/** One proxy; it listens on a port of its own. */
export interface ToxicProxy extends ServerAddress {
  /**
   * Breaks what flows: `latency`, `timeout` (swallows all; 0 keeps the connection), `reset_peer`, `limit_data`, `slow_close`, `bandwidth`.
   * @param stream `downstream` is from the server to the client, `upstream` the other way
   */
  toxic(type: string, attributes: object, stream?: 'downstream' | 'upstream'): Promise<void>
  /** Mends everything. Connections that a toxic has closed stay closed. */
  mend(): Promise<void>
  /** Refuses connections, and closes those that there are. */
  refuse(): Promise<void>
  remove(): Promise<void>
}

const ask = async (method: string, path: string, body?: unknown): Promise<unknown> => {
  const api = server('toxiproxy')
  if (api === undefined) throw new Error('Toxiproxy is not up')
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) }
  const response = await fetch(`http://${api.host}:${api.port}${path}`, init)
  const text = await response.text()
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
  return text === '' ? undefined : JSON.parse(text)
}

/** Says something to the Toxiproxy that is up. */
export const control = async (method: string, path: string, body?: unknown): Promise<void> => {
  await ask(method, path, body)
}

/** Mends one proxy, and not those of others who use the same Toxiproxy meanwhile. */
export const mendProxy = async (name: string): Promise<void> => {
  for (const { name: toxic } of (await ask('GET', `/proxies/${name}/toxics`)) as readonly { name: string }[])
    await control('DELETE', `/proxies/${name}/toxics/${toxic}`)
  await control('POST', `/proxies/${name}`, { enabled: true })
}

/** Puts a proxy before a server. */
export const proxyTo = async (upstream: ServerAddress): Promise<ToxicProxy> => {
  const port = await freePort()
  const name = `fairlead-${process.pid}-${port}`
  const path = `/proxies/${name}`
  await control('POST', '/proxies', {
    name,
    listen: `127.0.0.1:${port}`,
    upstream: `${upstream.host}:${upstream.port}`,
  })
  return {
    host: '127.0.0.1',
    port,
    async toxic(type, attributes, stream = 'downstream') {
      await control('POST', `${path}/toxics`, { type, stream, attributes })
    },
    mend: () => mendProxy(name),
    async refuse() {
      await control('POST', path, { enabled: false })
    },
    async remove() {
      await control('DELETE', path)
    },
  }
}
