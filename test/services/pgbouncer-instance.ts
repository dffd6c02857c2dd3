// A PgBouncer of one's own in transaction mode, before a PostgreSQL of one's own, for tests that stop what stands behind it.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { asUser } from './postgres-instance.ts'
import type { ServerAddress } from './servers.ts'

/** A pooler that belongs to one test file. */
export interface PgBouncerInstance extends ServerAddress {
  remove(): Promise<void>
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('close', () => socket.destroy()).once('connect', () => socket.end())
  })

/** Starts it before `upstream`. @param settings lines of the section [pgbouncer] */
export const startPgBouncer = async (
  upstream: ServerAddress,
  settings: Readonly<Record<string, string>> = {},
): Promise<PgBouncerInstance> => {
  const binary =
    ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer', '/usr/local/bin/pgbouncer'].find(existsSync) ?? 'pgbouncer'
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-pgbouncer-'))
  const port = await freePort()
  const all = {
    listen_addr: '127.0.0.1',
    listen_port: String(port),
    unix_socket_dir: '',
    auth_type: 'trust',
    auth_file: join(folder, 'users.txt'),
    pool_mode: 'transaction',
    ...settings,
  }
  const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}`)
  writeFileSync(join(folder, 'users.txt'), '"postgres" ""\n')
  writeFileSync(
    join(folder, 'pgbouncer.ini'),
    `[databases]\n* = host=${upstream.host} port=${upstream.port}\n[pgbouncer]\n${lines.join('\n')}\n`,
  )
  chmodSync(folder, 0o755)
  const child = spawn(...asUser(binary, [join(folder, 'pgbouncer.ini')]), { stdio: 'ignore' })
  const exited = once(child, 'exit')
  const onExit = (): void => void child.kill('SIGKILL')
  process.on('exit', onExit)
  while (!(await answers(port))) {
    if (child.exitCode !== null) throw new Error('PgBouncer did not start: test/services/up pgbouncer installs it')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return {
    host: '127.0.0.1',
    port,
    async remove() {
      process.off('exit', onExit)
      child.kill('SIGTERM')
      await exited
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
