// The same from CommonJS, smaller; and an error made here is the same class as one made by the ESM build.
const assert = require('node:assert/strict')
const { FairleadError, classify, resilient } = require('fairlead')

for (const name of ['errors', 'core', 'policies', 'rpi', 'discovery', 'http', 'testing']) {
  assert.ok(Object.keys(require(`fairlead/${name}`)).length > 0, `fairlead/${name} is empty`)
}

const main = async () => {
  let calls = 0
  const flaky = resilient(
    'smoke.flaky',
    async () => {
      if (++calls === 1) throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })
      return 1
    },
    {
      idempotent: true,
      retry: { attempts: 3 },
      circuitBreaker: { errorRate: 0.5 },
      rateLimit: { limit: 100, perMs: 1_000 },
    },
  )
  assert.equal(await flaky(), 1)
  const esm = await import('fairlead')
  const error = classify(new Error('x'))
  assert.ok(error instanceof esm.FairleadError && error instanceof FairleadError)
  assert.notEqual(esm.FairleadError, FairleadError)
  console.log('smoke: cjs ok')
}
main().then(
  () => undefined,
  (error) => {
    console.error(error)
    process.exitCode = 1
  },
)
