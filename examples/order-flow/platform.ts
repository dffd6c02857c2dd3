// What the platform does where instances do not announce themselves: it gives them addresses, and writes EndpointSlices or a hosts file.
import { rmSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import type { Registry } from './registry.ts'

const { KUBERNETES_TOKEN: token, DNS_HOSTS_FOLDER: hostsFolder } = process.env

/** Says that an instance is there, or that it is gone. */
export async function platform(
  registry: Registry | undefined,
  service: string,
  instance: string,
  is: 'there' | 'gone',
): Promise<void> {
  if (registry?.kind !== 'kubernetes' && registry?.kind !== 'dns') return
  const name = registry.prefix + service
  const [host, port] = instance.split(':') as [string, string]
  if (registry.kind === 'dns') {
    const file = join(hostsFolder as string, `${name}-${host}`)
    return is === 'there' ? writeFileSync(file, `${host} ${name}.test\n`) : rmSync(file, { force: true })
  }
  const slice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${name}-${port}`, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: Number(port) }],
    endpoints: [{ addresses: [host], conditions: { ready: true } }],
  }
  const slices = `${registry.at}/apis/discovery.k8s.io/v1/namespaces/default/endpointslices`
  const response = await fetch(`${slices}/${slice.metadata.name}?${is === 'there' ? 'fieldManager=order-flow' : ''}`, {
    method: is === 'there' ? 'PATCH' : 'DELETE',
    headers: {
      'content-type': is === 'there' ? 'application/apply-patch+yaml' : 'application/json',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: is === 'there' ? JSON.stringify(slice) : null,
  })
  if (!response.ok && response.status !== 404)
    throw new Error(`Kubernetes: ${response.status} ${await response.text()}`)
}

/** The address of the first or second instance of a service. */
export function hostOf(registry: Registry | undefined, nth: number): string {
  if (registry?.kind === 'dns') return `127.0.0.${nth + 1}`
  if (registry?.kind !== 'kubernetes') return '127.0.0.1'
  // It takes no loopback address.
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? [])
  const found = all.find(({ internal, family }) => !internal && family === 'IPv4')
  if (found === undefined) throw new Error('--registry kubernetes: this machine has no address but its own')
  return found.address
}
