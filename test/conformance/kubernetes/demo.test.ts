// The order demo, its instances in EndpointSlices of a real API server.
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { demoWith } from '../../examples/run-demo.ts'
import { ADMIN_TOKEN, startKubernetes } from '../../services/kubernetes-instance.ts'

it('keeps its promises, and leaves no slice behind', { timeout: 150_000 }, async () => {
  const server = await startKubernetes()
  try {
    // The server makes this namespace a moment after it is ready.
    await expect
      .poll(async () => (await server.api('GET', '/api/v1/namespaces/default')).status, { timeout: 20_000 })
      .toBe(200)
    await demoWith(`kubernetes=${server.url}`, {
      KUBERNETES_TOKEN: ADMIN_TOKEN,
      NODE_EXTRA_CA_CERTS: join(server.folder, 'certs', 'apiserver.crt'),
    })
    const { body } = await server.api('GET', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices')
    expect(body['items']).toEqual([])
  } finally {
    await server.remove()
  }
})
