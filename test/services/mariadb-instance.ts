// A MariaDB of one's own, for tests that stop, restart or kill it; the one of test/services/up is shared.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { chmodSync, closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort } from './free-port.ts'
import type { ServerAddress } from './servers.ts'

const run = promisify(execFile)

/** How it is ended: `fast` asks it to, `kill` is kill -9, as good as a crash. */
export type MariadbStopMode = 'fast' | 'kill'

/** A server that belongs to one test file. The user is `root`, without a password. */
export interface MariadbInstance extends ServerAddress {
  readonly pid: number | undefined
  /** On the same port, with the same data. */
  start(): Promise<void>
  stop(mode?: MariadbStopMode): Promise<void>
  restart(mode?: MariadbStopMode): Promise<void>
  /** Stops it and deletes its data. */
  remove(): Promise<void>
}

const asUser = (command: string, args: readonly string[]): [string, string[]] =>
  userInfo().uid === 0
    ? ['setpriv', ['--reuid=mysql', '--regid=mysql', '--init-groups', command, ...args]]
    : [command, [...args]]

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const settle = (is: boolean): void => {
      socket.destroy()
      resolve(is)
    }
    // The server speaks first: a port that accepts may belong to one that is not ready.
    socket.once('data', () => settle(true)).once('error', () => settle(false))
    socket.setTimeout(1_000, () => settle(false))
  })

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/**
 * Starts a private server; what it has committed outlives a kill.
 * @param settings options of mariadbd, without dashes before them
 * @param folder where its data goes: by default the temp folder, else a folder that is there and may be small
 */
export const startMariadb = async (
  settings: Readonly<Record<string, string>> = {},
  folder: string = mkdtempSync(join(tmpdir(), 'fairlead-mariadb-')),
): Promise<MariadbInstance> => {
  chmodSync(folder, 0o755)
  if (userInfo().uid === 0) await run('chown', ['mysql', folder])
  const data = join(folder, 'data')
  const log = join(folder, 'server.log')
  const port = await freePort()
  const user = userInfo().uid === 0 ? 'mysql' : userInfo().username
  await run('mariadb-install-db', [
    '--no-defaults',
    `--user=${user}`,
    `--datadir=${data}`,
    '--auth-root-authentication-method=normal',
    '--skip-test-db',
    '--innodb-log-file-size=16M',
  ]).catch((error: unknown) => {
    throw new Error(`mariadb-install-db failed (test/services/up mariadb installs it): ${String(error)}`)
  })
  const all = {
    'innodb-flush-log-at-trx-commit': '1',
    'innodb-buffer-pool-size': '64M',
    'innodb-log-file-size': '16M',
    'max-connections': '300',
    'performance-schema': 'OFF',
    ...settings,
  }
  const args = [
    '--no-defaults',
    `--datadir=${data}`,
    `--port=${port}`,
    '--bind-address=127.0.0.1',
    `--socket=${join(folder, 's.sock')}`,
    `--pid-file=${join(folder, 'm.pid')}`,
    '--skip-name-resolve',
    ...Object.entries(all).map(([name, value]) => `--${name}=${value}`),
  ]

  let child: ChildProcess | undefined
  const instance: MariadbInstance = {
    host: '127.0.0.1',
    port,
    // `setpriv` becomes the server, so this is the server's own.
    get pid() {
      return child?.pid
    },
    async start() {
      const out = openSync(log, 'a')
      const started = spawn(...asUser('mariadbd', args), { cwd: folder, stdio: ['ignore', out, out] })
      closeSync(out)
      child = started
      for (let tries = 0; tries < 600; tries++) {
        if (started.exitCode !== null || started.signalCode !== null) break
        if (await answers(port)) return
        await pause(50)
      }
      throw new Error(`MariaDB did not start: ${existsSync(log) ? readFileSync(log, 'utf8').slice(-4_000) : ''}`)
    },
    async stop(mode = 'fast') {
      const ending = child
      child = undefined
      if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return
      const ended = new Promise<void>((resolve) => ending.once('exit', () => resolve()))
      ending.kill(mode === 'kill' ? 'SIGKILL' : 'SIGTERM')
      await ended
    },
    async restart(mode = 'fast') {
      await instance.stop(mode)
      await instance.start()
    },
    async remove() {
      process.off('exit', onExit)
      await instance.stop('kill')
      rmSync(folder, { recursive: true, force: true })
    },
  }
  // A test run that is ended early leaves no server behind.
  const onExit = (): void => {
    child?.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  process.on('exit', onExit)
  await instance.start()
  return instance
}
