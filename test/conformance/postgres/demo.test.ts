// The order demo on a real PostgreSQL instead of its files: the same promises, and nothing left behind.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Client } from 'pg'
import { expect, it } from 'vitest'
import { server } from '../../services/servers.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))

const schemas = async (url: string): Promise<readonly unknown[]> => {
  const client = new Client({ connectionString: url })
  await client.connect()
  const { rows } = await client.query(`select nspname from pg_namespace where nspname like 'order_flow_%' order by 1`)
  await client.end()
  return rows
}

it('keeps every promise', { timeout: 300_000 }, async () => {
  const { host, port } = server('postgres') ?? {}
  const url = `postgres://postgres@${host}:${port}/postgres`
  const before = await schemas(url)
  const demo = spawn('npm', ['run', '--silent', 'demo', '--', '--database', url], {
    cwd: root,
    env: { ...process.env, NO_COLOR: '1', PACE: '5' },
  })
  let printed = ''
  for (const stream of [demo.stdout, demo.stderr]) stream.on('data', (chunk) => (printed += chunk))
  const code = await new Promise((ended) => demo.once('close', ended))
  expect(printed).not.toContain('✘')
  expect(printed).toContain('Every promise was kept.')
  expect(code).toBe(0)
  expect(await schemas(url)).toEqual(before)
})
