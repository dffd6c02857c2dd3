// The order demo through a real Kafka: one line changed, the same promises.
import { it } from 'vitest'
import { demoThrough } from '../../examples/run-demo.ts'
import { server } from '../../services/servers.ts'

it('keeps every promise', { timeout: 300_000 }, async () => {
  const { host, port } = server('kafka') ?? {}
  await demoThrough(`kafka=${host}:${port}`)
})
