// The order demo through a real RabbitMQ: one line changed, the same promises.
import { it } from 'vitest'
import { demoThrough } from '../../examples/run-demo.ts'
import { server } from '../../services/servers.ts'

it('keeps every promise', { timeout: 300_000 }, async () => {
  const { host, port } = server('rabbitmq') ?? {}
  await demoThrough(`rabbitmq=amqp://guest:guest@${host}:${port}`)
})
