// Who serves what in a Kubernetes cluster: its EndpointSlices, listed once and watched from then on.
import type { Source } from '../../core/contracts/source.ts'
import { access } from './access.ts'
import { type KubernetesSourceOptions, kubernetesSettings } from './options.ts'
import { readServiceName } from './service-name.ts'
import { watchSlices } from './slice-watch.ts'

/**
 * A source over the EndpointSlices of a cluster: pods are pushed as they become ready, not ready and terminating, with no DNS and no virtual IP in between.
 *
 * Services are named `name` or `name.namespace`. In a pod it needs no options, only the right to `list` and `watch` `endpointslices`.
 * An endpoint is a pod, by its uid: an address that another pod takes over is another endpoint. Not ready is `down`; terminating and still
 * serving is `draining`. A service without any slice is absent, one with slices and nobody in them is empty.
 * @throws FairleadError INVALID_OPTIONS; `watch` throws it for a name that no service can have
 * @example createDiscovery({ source: kubernetesSource({ port: 'http' }) })
 */
export function kubernetesSource(options: KubernetesSourceOptions = {}): Source {
  const settings = kubernetesSettings(options)
  const shared = access(settings)
  return {
    name: 'kubernetes',
    remote: true,
    watch: (service, sink) => watchSlices(settings, shared, readServiceName(service), sink),
  }
}
