// Run by `npm run test:node` in an empty folder with nothing but the installed package: a call around everything, as ESM.
import assert from 'node:assert/strict'
import http from 'node:http'
import {
  classify,
  createDiscovery,
  createProxy,
  createServerAdapter,
  defineContract,
  describe,
  httpTransport,
  isFailure,
  isFairleadError,
  lastGood,
  resilient,
  value,
} from 'fairlead'

for (const name of ['errors', 'core', 'policies', 'rpi', 'discovery', 'http', 'testing']) {
  assert.ok(Object.keys(await import(`fairlead/${name}`)).length > 0, `fairlead/${name} is empty`)
}

/** A schema by the Standard Schema interface, so that no schema library is needed here. */
const schema = (check) => ({
  '~standard': {
    version: 1,
    vendor: 'smoke',
    validate: (input) => (check(input) ? { value: input } : { issues: [{ message: 'does not fit' }] }),
  },
})

let calls = 0
const flaky = resilient(
  'smoke.flaky',
  async (_context, text) => {
    if (++calls === 1) throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
    return text.toUpperCase()
  },
  {
    idempotent: true,
    retry: { attempts: 3 },
    circuitBreaker: { errorRate: 0.5 },
    fallback: [lastGood({ maxAgeMs: 1_000 }), value('none')],
  },
)
assert.equal(await flaky('a'), 'A')
assert.equal(calls, 2)
assert.ok(JSON.stringify(describe(flaky)).includes('retry'))

const down = resilient('smoke.down', async () => {
  throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
})
await assert.rejects(
  down(),
  (error) => isFairleadError(error) && error.code === 'CONNECTION_REFUSED' && error.effect !== 'done',
)
assert.equal(classify(Object.assign(new Error('x'), { code: 'ENOTFOUND' })).kind, 'crash')

const Stock = defineContract('stock', {
  reserve: {
    http: 'POST /reservations',
    idempotent: true,
    input: schema((input) => typeof input?.sku === 'string'),
    output: schema((output) => typeof output?.id === 'string'),
    failures: { outOfStock: schema((details) => typeof details?.left === 'number') },
  },
})
const adapter = createServerAdapter(Stock, {
  reserve: async ({ sku }, context) => (sku === 'none' ? context.fail('outOfStock', { left: 0 }) : { id: `r-${sku}` }),
})
const server = http.createServer(adapter.node())
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const { port } = server.address()
const transport = httpTransport({ baseUrl: `http://127.0.0.1:${port}` })
const stock = createProxy(Stock, { transport })
assert.deepEqual(await stock.reserve({ sku: 'a' }), { id: 'r-a' })
await assert.rejects(
  stock.reserve({ sku: 'none' }),
  (error) => isFailure(error, Stock, 'reserve', 'outOfStock') && error.details.left === 0,
)
await assert.rejects(stock.reserve({ sku: 7 }), (error) => isFairleadError(error) && error.kind === 'invalid')
assert.equal(typeof createDiscovery, 'function')

await transport.close?.()
server.closeAllConnections()
server.close()
console.log('smoke: esm ok')
