// The order demo as a reader runs it. It counts at its servers and exits with 1 if a promise is broken; here it is held to that.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

it('keeps every promise', { timeout: 300_000 }, async () => {
  const demo = spawn('npm', ['run', '--silent', 'demo'], {
    cwd: root,
    env: { ...process.env, NO_COLOR: '1', PACE: '5' },
  })
  let printed = ''
  for (const stream of [demo.stdout, demo.stderr]) stream.on('data', (chunk) => (printed += chunk))
  const code = await new Promise((ended) => demo.once('close', ended))
  expect(printed).not.toContain('✘')
  expect(printed.match(/^\d+\. /gm), printed).toHaveLength(12)
  expect(printed.match(/✔/g)?.length, printed).toBeGreaterThanOrEqual(30)
  expect(printed).toContain('Every promise was kept.')
  expect(code).toBe(0)
})
