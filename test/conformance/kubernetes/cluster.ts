// A private API server behind a gate, the foreign hand that writes into it, and sources over it: what the suites of this folder share.
import { type KubernetesSourceOptions, kubernetesSource } from '../../../src/adapters/kubernetes/index.ts'
import type { Source } from '../../../src/core/contracts/source.ts'
import { SliceBook, type SliceWriter } from '../../adapters/kubernetes/kit/slice-book.ts'
import { ADMIN_TOKEN, type KubernetesInstance, startKubernetes } from '../../services/kubernetes-instance.ts'
import { Gate } from './gate.ts'

/** Everything of one test file. */
export interface Cluster {
  readonly server: KubernetesInstance
  readonly gate: Gate
  readonly book: SliceBook
  readonly writer: SliceWriter
  /** A source through the gate, with the administrator's token. */
  source(options?: KubernetesSourceOptions): Source
  close(): Promise<void>
}

const slices = (namespace: string): string => `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`

const writerOf = (server: KubernetesInstance): SliceWriter => {
  const good = (what: string, { status, body }: { status: number; body: object }, ...also: number[]): void => {
    if (status >= 400 && !also.includes(status)) throw new Error(`${what}: ${status} ${JSON.stringify(body)}`)
  }
  const writer: SliceWriter = {
    async put(namespace, name, slice) {
      const replaced = await server.api('PUT', `${slices(namespace)}/${name}`, slice)
      if (replaced.status !== 404) return good(`replace ${name}`, replaced)
      const made = await server.api('POST', slices(namespace), slice)
      if (made.status !== 404) return good(`create ${name}`, made)
      // The namespace itself is not there (yet, or any more).
      good(
        `create ${namespace}`,
        await server.api('POST', '/api/v1/namespaces', { metadata: { name: namespace } }),
        409,
      )
      good(`create ${name}`, await server.api('POST', slices(namespace), slice))
    },
    async remove(namespace, name) {
      good(`delete ${name}`, await server.api('DELETE', `${slices(namespace)}/${name}`), 404)
    },
  }
  return writer
}

/** Starts a server and opens the gate. */
export const startCluster = async (namespace: string): Promise<Cluster> => {
  const server = await startKubernetes()
  const gate = new Gate(server)
  await gate.listen()
  const writer = writerOf(server)
  return {
    server,
    gate,
    writer,
    book: new SliceBook(writer, namespace),
    source: (options = {}) =>
      kubernetesSource({
        server: gate.url,
        namespace,
        ca: server.ca,
        ...(options.tokenFile === undefined ? { token: ADMIN_TOKEN } : {}),
        ...options,
      }),
    async close() {
      await gate.close()
      await server.remove()
    },
  }
}
