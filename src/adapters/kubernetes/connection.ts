// The connection of one watch to the API server; made anew where the authority on disk has changed.
import { type RegistryClient, registryClient } from '../registry/client.ts'
import type { Access } from './access.ts'
import type { KubernetesSettings } from './options.ts'

/** A client that is made when it is first needed. */
export interface ApiConnection {
  client(): Promise<RegistryClient>
  /** Something failed: look whether the authority is still the same before the next question. */
  suspect(): void
  /** Breaks off what is under way and closes all sockets. */
  close(): Promise<void>
}

/** Makes a connection; opens it with the first question. */
export function apiConnection(settings: KubernetesSettings, access: Access): ApiConnection {
  let current: { readonly client: RegistryClient; readonly ca: string } | undefined
  let looked = false
  let closed = false
  return {
    async client() {
      if (current !== undefined && looked) return current.client
      const ca = await access.ca()
      const known = JSON.stringify(ca ?? null)
      if (current?.ca !== known) {
        await current?.client.close()
        const client = registryClient({
          baseUrl: settings.server,
          headers: () => access.headers(),
          tls: { ...settings.tls, ca },
          timeoutMs: settings.timeoutMs,
          clock: settings.clock,
        })
        current = { client, ca: known }
        if (closed) await client.close()
      }
      looked = true
      return current.client
    },
    suspect() {
      looked = false
    },
    async close() {
      closed = true
      await current?.client.close()
    },
  }
}
