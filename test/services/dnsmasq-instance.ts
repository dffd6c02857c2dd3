// A dnsmasq of one's own, for tests that change its records, stop it or kill it; the one of test/services/up is shared.
import { type ChildProcess, spawn } from 'node:child_process'
import { promises as dns } from 'node:dns'
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import type { ServerAddress } from './servers.ts'

/** What it knows. All names are below `fairlead.test`; it asks nobody else. */
export interface DnsmasqRecords {
  /** Lines of a hosts file: `10.0.0.1 name`. They can be changed without a restart. */
  readonly hosts?: readonly string[] | undefined
  /** Lines of its configuration: `srv-host=...`, `txt-record=...`. */
  readonly config?: readonly string[] | undefined
}

/** A server that belongs to one test. */
export interface DnsmasqInstance extends ServerAddress {
  /** Another hosts file. Resolves once it is in force. */
  hosts(lines: readonly string[]): Promise<void>
  /** On the same port. */
  start(): Promise<void>
  kill(): Promise<void>
  /** It stands still (SIGSTOP) until `resume`. */
  pause(): void
  resume(): void
  /** Stops it and deletes its files. */
  remove(): Promise<void>
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Starts one; resolves once it answers. */
export const startDnsmasq = async ({ hosts = [], config = [] }: DnsmasqRecords = {}): Promise<DnsmasqInstance> => {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-dnsmasq-'))
  const [hostsFile, configFile, log] = ['hosts', 'dnsmasq.conf', 'server.log'].map((each) => join(folder, each)) as [
    string,
    string,
    string,
  ]
  const port = await freePort()
  writeFileSync(configFile, `${config.join('\n')}\n`)
  const args = [
    '--keep-in-foreground',
    `--port=${port}`,
    '--listen-address=127.0.0.1',
    '--bind-interfaces',
    '--no-resolv',
    '--no-hosts',
    `--addn-hosts=${hostsFile}`,
    `--conf-file=${configFile}`,
    '--local=/fairlead.test/',
    `--pid-file=${join(folder, 'pid')}`,
    `--user=${userInfo().username}`,
    '--log-facility=-',
  ]
  // It reads its hosts file when it gets to it: a record that tells which one is in force.
  let version = 0
  const write = (lines: readonly string[]): void => {
    version++
    writeFileSync(hostsFile, `${lines.join('\n')}\n10.255.${version >> 8}.${version & 255} version.fairlead.test\n`)
  }
  const inForce = async (): Promise<boolean> => {
    const resolver = new dns.Resolver({ timeout: 500, tries: 1 })
    resolver.setServers([`127.0.0.1:${port}`])
    const answer = await resolver.resolve4('version.fairlead.test').catch(() => [])
    return answer[0] === `10.255.${version >> 8}.${version & 255}`
  }
  let child: ChildProcess | undefined
  const awaited = async (): Promise<void> => {
    for (let tries = 0; tries < 600; tries++) {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) break
      if (await inForce()) return
      await pause(10)
    }
    throw new Error(`dnsmasq does not answer: ${existsSync(log) ? readFileSync(log, 'utf8').slice(-2_000) : ''}`)
  }
  const instance: DnsmasqInstance = {
    host: '127.0.0.1',
    port,
    async hosts(lines) {
      write(lines)
      if (child === undefined) return
      child.kill('SIGHUP')
      await awaited()
    },
    async start() {
      const out = openSync(log, 'a')
      child = spawn('dnsmasq', args, {
        stdio: ['ignore', out, out],
        env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/local/sbin` },
      })
      child.on('error', () => {})
      closeSync(out)
      await awaited()
    },
    async kill() {
      const ending = child
      child = undefined
      if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return
      const ended = new Promise<void>((resolve) => ending.once('exit', () => resolve()))
      ending.kill('SIGKILL')
      await ended
    },
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    async remove() {
      process.off('exit', onExit)
      await instance.kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
  // A test run that is ended early leaves no server behind.
  const onExit = (): void => {
    child?.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  process.on('exit', onExit)
  write(hosts)
  await instance.start()
  return instance
}
