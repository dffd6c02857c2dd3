// One instance of a service, as a process: listens, announces itself in a file, and answers after a while.
import { setTimeout as sleep } from 'node:timers/promises'
import { fileRegistrar } from '../../../src/adapters/file/index.ts'
import { createServerAdapter } from '../../../src/rpi/index.ts'
import { Shop } from './shop.ts'

const { path, drainMs } = JSON.parse(process.argv[2] ?? '{}') as { path: string; drainMs: number }

const adapter = createServerAdapter(Shop, {
  order: async () => {
    await sleep(20)
    return { by: process.pid }
  },
})
const { port } = await adapter.listen({
  host: '127.0.0.1',
  register: { registrar: fileRegistrar({ path, ttlMs: 5_000 }), drainMs, required: true },
})
process.send?.({ port })
// Nothing more: the process ends by itself when it has left.
process.channel?.unref()
