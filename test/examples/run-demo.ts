// The order demo with a real registry in place of its list: started as a reader would, in its short form.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** All well, then kill -9 of one instance under load. Fails unless every promise is kept. */
export const demoWith = async (registry: string, env: Readonly<Record<string, string>> = {}): Promise<void> => {
  const demo = spawn('npm', ['run', '--silent', 'demo', '--', '--registry', registry, '--steps', '1,6'], {
    cwd: root,
    env: { ...process.env, NO_COLOR: '1', PACE: '5', ...env },
  })
  let printed = ''
  for (const stream of [demo.stdout, demo.stderr]) stream.on('data', (chunk) => (printed += chunk))
  const code = await new Promise((ended) => demo.once('close', ended))
  expect(printed).not.toContain('✘')
  expect(printed).toContain('two inventories, two payments.')
  expect(printed.match(/^\d+\. /gm), printed).toEqual(['1. ', '6. '])
  expect(printed.match(/✔/g), printed).toHaveLength(4)
  expect(printed).toContain('Every promise was kept.')
  expect(code, printed).toBe(0)
}
