// A PostgreSQL of one's own, for tests that stop, restart or kill it; the one of test/services/up is shared.

import { execFile, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort } from './free-port.ts'
import type { ServerAddress } from './servers.ts'

const run = promisify(execFile)

/** How it is asked to stop: `fast` ends the sessions and tidies up, `immediate` is as good as a power cut, `smart` waits for the clients to go and lets no more in. */
export type StopMode = 'fast' | 'immediate' | 'smart'

/** A server that belongs to one test file. The user is `postgres`, without a password. */
export interface PostgresInstance extends ServerAddress {
  /** On the same port, with the same data. */
  start(): Promise<void>
  stop(mode?: StopMode): Promise<void>
  restart(mode?: StopMode): Promise<void>
  /** Stops it and deletes its data. */
  remove(): Promise<void>
}

const binaries = (): string => {
  const onPath = (process.env['PATH'] ?? '').split(':').find((folder) => existsSync(join(folder, 'initdb')))
  if (onPath !== undefined) return onPath
  const root = '/usr/lib/postgresql'
  const versions = existsSync(root)
    ? readdirSync(root).filter((name) => existsSync(join(root, name, 'bin/initdb')))
    : []
  const newest = versions.sort((a, b) => Number(a) - Number(b)).at(-1)
  if (newest === undefined) throw new Error('PostgreSQL is not installed: test/services/up postgres installs it')
  return join(root, newest, 'bin')
}

/** A command as a user that is not root: neither PostgreSQL nor PgBouncer runs as root. */
export const asUser = (command: string, args: readonly string[]): [string, string[]] =>
  userInfo().uid === 0
    ? ['setpriv', ['--reuid=postgres', '--regid=postgres', '--init-groups', command, ...args]]
    : [command, [...args]]

/**
 * Starts a private server.
 * @param settings parameters of postgresql.conf; by default it is fast and not safe against a power cut
 */
export const startPostgres = async (settings: Readonly<Record<string, string>> = {}): Promise<PostgresInstance> => {
  const bin = binaries()
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-postgres-'))
  chmodSync(folder, 0o755)
  if (userInfo().uid === 0) await run('chown', ['postgres', folder])
  const data = join(folder, 'data')
  const port = await freePort()
  const call = (name: string, args: readonly string[]) => run(...asUser(join(bin, name), args), { cwd: folder })
  await call('initdb', ['-D', data, '-A', 'trust', '-U', 'postgres', '--no-sync', '-E', 'UTF8', '--locale=C'])
  const all = { fsync: 'off', full_page_writes: 'off', shared_buffers: '32MB', ...settings }
  const flags = Object.entries(all).map(([name, value]) => `-c ${name}=${value}`)
  const options = [`-p ${port}`, '-h 127.0.0.1', `-k ${folder}`, ...flags].join(' ')

  let up = false
  const instance: PostgresInstance = {
    host: '127.0.0.1',
    port,
    async start() {
      const log = join(folder, 'server.log')
      await call('pg_ctl', ['-D', data, '-w', '-s', '-l', log, '-o', options, 'start']).catch((error: unknown) => {
        throw new Error(`PostgreSQL did not start: ${existsSync(log) ? readFileSync(log, 'utf8') : String(error)}`)
      })
      up = true
    },
    async stop(mode = 'fast') {
      if (up) await call('pg_ctl', ['-D', data, '-w', '-s', '-m', mode, 'stop'])
      up = false
    },
    async restart(mode = 'fast') {
      await instance.stop(mode)
      await instance.start()
    },
    async remove() {
      process.off('exit', onExit)
      await instance.stop('immediate')
      rmSync(folder, { recursive: true, force: true })
    },
  }
  // A test run that is ended early leaves no server behind.
  const onExit = (): void => {
    if (up) spawnSync(...asUser(join(bin, 'pg_ctl'), ['-D', data, '-s', '-m', 'immediate', 'stop']))
    rmSync(folder, { recursive: true, force: true })
  }
  process.on('exit', onExit)
  await instance.start()
  return instance
}
