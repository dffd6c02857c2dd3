// The conformance suite over real sockets: a feed in memory served by node:http, and one in files served through the Fetch API.
import { afterAll, describe, test } from 'vitest'
import { httpFeedTransport } from '../../../src/adapters/http-feed/index.ts'
import { memoryCheckpoints } from '../../../src/adapters/memory/index.ts'
import { type TransportLab, testTransport } from '../../../src/testing/transport-suite/index.ts'
import { type FeedServerOptions, feedServer, fileLog, temporaryFolder } from './lab.ts'

async function lab(options: FeedServerOptions, heavy: number, end: () => Promise<void>): Promise<TransportLab> {
  const server = await feedServer({ ...options, pageSize: 50 })
  const checkpoints = memoryCheckpoints()
  return {
    open: ({ leaseMs } = {}) =>
      httpFeedTransport({
        feed: server.feed,
        url: server.url,
        checkpoints,
        leaseMs: leaseMs ?? 30_000,
        takeOverMs: 25,
        waitMs: 2_000,
        maxBackoffMs: 200,
      }),
    heavy,
    quietMs: 100,
    async restart() {
      await server.stop()
      await server.start()
    },
    async stop() {
      await server.stop()
      return server.start
    },
    cut: async () => server.cut(),
    async close() {
      await server.close()
      await end()
    },
  }
}

await testTransport('http-feed in memory, served by node:http', () => lab({}, 5_000, async () => {}), {
  describe,
  test,
  afterAll,
})

const folder = await temporaryFolder()
await testTransport(
  'http-feed in files, served through the Fetch API',
  () => lab({ form: 'fetch', openLog: fileLog(folder.path) }, 1_000, folder.remove),
  { describe, test, afterAll },
)
