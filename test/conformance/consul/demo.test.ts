// The order demo, its instances announced to a real Consul agent and found there.
import { expect, it } from 'vitest'
import { demoWith } from '../../examples/run-demo.ts'
import { startConsul } from '../../services/consul-instance.ts'

it('keeps its promises, and takes back what it announced', { timeout: 120_000 }, async () => {
  const agent = await startConsul()
  try {
    await demoWith(`consul=${agent.url}`)
    const services = (await (await fetch(`${agent.url}/v1/agent/services`)).json()) as Record<string, unknown>
    // The one that was killed could not; Consul drops it later.
    expect(Object.keys(services)).toEqual([expect.stringMatching(/^order-flow-\d+-payment-\d+$/)])
  } finally {
    await agent.remove()
  }
})
