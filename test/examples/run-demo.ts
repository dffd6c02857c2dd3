// The order demo with real servers in place of what it has by itself: started as a reader would, in a short form.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** With a registry in place of its list: all well, then kill -9 of one instance under load. Fails unless every promise is kept. */
export const demoWith = async (registry: string, env: Readonly<Record<string, string>> = {}): Promise<void> => {
  const printed = await runDemo(['--registry', registry, '--steps', '1,6'], 4, env)
  expect(printed).toContain('two inventories, two payments.')
}

/** Through a broker in place of HTTP push: all well, and all steps about messages. Fails unless every promise is kept. */
export const demoThrough = async (broker: string): Promise<void> => {
  await runDemo(['--transport', broker, '--steps', '1,8,9,10,11,12'], 14)
}

async function runDemo(
  args: readonly string[],
  promises: number,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const demo = spawn('npm', ['run', '--silent', 'demo', '--', ...args], {
    cwd: root,
    env: { ...process.env, NO_COLOR: '1', PACE: '5', ...env },
  })
  let printed = ''
  for (const stream of [demo.stdout, demo.stderr]) stream.on('data', (chunk) => (printed += chunk))
  const code = await new Promise((ended) => demo.once('close', ended))
  expect(printed).not.toContain('✘')
  const steps = args
    .at(-1)
    ?.split(',')
    .map((step) => `${step}. `)
  expect(printed.match(/^\d+\. /gm), printed).toEqual(steps)
  expect(printed.match(/✔/g), printed).toHaveLength(promises)
  expect(printed).toContain('Every promise was kept.')
  expect(code, printed).toBe(0)
  return printed
}
