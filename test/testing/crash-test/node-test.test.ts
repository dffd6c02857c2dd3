// crashTest needs no test runner of a kind: it runs in a process of node:test as well, and finds lines of code there.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

it('runs by node:test', { timeout: 120_000 }, async () => {
  const file = fileURLToPath(new URL('./by-node.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', 'tsx', '--test', '--test-reporter=tap', file], {
    env: { ...process.env, NODE_OPTIONS: '', NODE_TEST_CONTEXT: undefined },
  })
  let output = ''
  child.stdout.on('data', (chunk) => (output += String(chunk)))
  child.stderr.on('data', (chunk) => (output += String(chunk)))
  const code = await new Promise((resolve) => child.on('close', resolve))
  expect(output).toContain('# pass 2')
  expect(code).toBe(0)
})
