// The availability demo as a reader runs it, whole: everything is as predicted, and table and plot of the guide are what it makes.
import { describe, expect, it } from 'vitest'
import { run } from '../tools/project.ts'

const demo = (...args: readonly string[]) =>
  run('npm', ['run', '--silent', 'demo:availability', '--', ...args], { env: { NO_COLOR: '1' } })

describe('npm run demo:availability', { timeout: 900_000 }, () => {
  it('--check: all is as predicted, and the guide is up to date', async () => {
    const { code, output } = await demo('--check')
    expect(output).not.toContain('✘')
    expect(output).toContain('✔ Everything is as predicted.')
    for (const guide of ['finish-after-the-response', 'sagas', 'replicas', 'crash-test'])
      expect(output).toContain(`docs/${guide}.md`)
    expect(code, output).toBe(0)
  })

  it('--check ends with 1 where a share is out of its bounds: so few orders cannot tell', async () => {
    const { code, output } = await demo('--check', '--orders', '40')
    expect(output).toContain('✘ synchronous chain: accepted: predicted 98.51 %')
    expect(code).toBe(1)
  })

  it('--json: figures on one line', async () => {
    const { code, output } = await demo('--json', '--orders', '40', '--seed', '3')
    const { setting, flows } = JSON.parse(output.trim().split('\n').at(-1) as string)
    expect(setting).toMatchObject({ orders: 40, seed: 3 })
    expect(flows.map(({ name }: { name: string }) => name)).toHaveLength(4)
    expect(code).toBe(0)
  })

  it('refuses what makes no sense', async () => {
    expect((await demo('--orders', 'many')).output).toContain('--orders many: give a whole number from 1')
  })
})
