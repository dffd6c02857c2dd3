// The order demo, its instances announced to a real Eureka and found there.
import { expect, it } from 'vitest'
import { demoWith } from '../../examples/run-demo.ts'
import { startEureka } from '../../services/eureka-instance.ts'

it('keeps its promises, and takes back what it announced', { timeout: 150_000 }, async () => {
  const eureka = await startEureka()
  try {
    await demoWith(`eureka=${eureka.url}`)
    const answer = await fetch(`${eureka.url}/apps`, { headers: { accept: 'application/json' } })
    const { applications } = (await answer.json()) as {
      applications: { application: { name: string; instance: unknown[] }[] }
    }
    // The one that was killed could not; its lease runs out later.
    expect(applications.application.map(({ name, instance }) => [name, instance.length])).toEqual([
      [expect.stringMatching(/^ORDER-FLOW-\d+-PAYMENT$/), 1],
    ])
  } finally {
    await eureka.remove()
  }
})
