// A Consul agent of one's own, for tests that stop, kill, pause or empty it; the one of test/services/up is shared.
import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { freePort } from './free-port.ts'
import { builtProgram, type ServerAddress } from './servers.ts'

/** What it knows after a start: what it knew, nothing, or what it knew when `save` was called. */
export type ConsulStart = 'kept' | 'empty' | 'saved'

/** An agent that belongs to one test file: server and client in one. */
export interface ConsulInstance extends ServerAddress {
  readonly url: string
  /** On the same ports. Resolves once it has a leader and answers. */
  start(as?: ConsulStart): Promise<void>
  /** SIGKILL. */
  kill(): Promise<void>
  /** Stops it in good order, keeps what it knows now for a start as `saved`, and starts it again. */
  save(): Promise<void>
  /** SIGSTOP: the kernel goes on accepting connections. */
  pause(): void
  resume(): void
  /** Kills it and deletes its data. */
  remove(): Promise<void>
}

/**
 * Starts a private agent.
 * @param lasting keeps its state on disk (its leader takes seconds to be found); else in memory, so that a start is always `empty`
 * @param settings parts of its configuration
 */
export const startConsul = async (lasting = false, settings: object = {}): Promise<ConsulInstance> => {
  const program = builtProgram('consul')
  if (program === undefined) throw new Error('Consul is not built: test/services/up consul builds it')
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-consul-'))
  const data = join(folder, 'data')
  const saved = join(folder, 'saved')
  const log = openSync(join(folder, 'server.log'), 'a')
  const [port, server, lan] = [await freePort(), await freePort(), await freePort()]
  const config = {
    bind_addr: '127.0.0.1',
    client_addr: '127.0.0.1',
    disable_update_check: true,
    log_level: 'warn',
    ports: { http: port, server, serf_lan: lan, serf_wan: -1, grpc: -1, grpc_tls: -1, dns: -1 },
    ...(lasting
      ? { server: true, bootstrap: true, data_dir: data, performance: { raft_multiplier: 1 }, node_name: 'fairlead' }
      : {}),
    ...settings,
  }
  writeFileSync(join(folder, 'agent.json'), JSON.stringify(config))

  let child: ChildProcess | undefined
  const url = `http://127.0.0.1:${port}`
  const ready = async (): Promise<boolean> => {
    try {
      // With a leader that has read its log; and every server knows of it, which comes a moment later.
      for (const how of ['consistent', 'stale']) {
        const answer = await fetch(`${url}/v1/health/service/consul?${how}`, { signal: AbortSignal.timeout(2_000) })
        if (!answer.ok || answer.headers.get('x-consul-knownleader') !== 'true') return false
        await answer.text()
      }
      return true
    } catch {
      return false
    }
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const ending = child
    child = undefined
    if (ending === undefined) return
    const gone = new Promise((resolve) => ending.once('exit', resolve))
    ending.kill(signal)
    await gone
  }

  const instance: ConsulInstance = {
    host: '127.0.0.1',
    port,
    url,
    async start(as = lasting ? 'kept' : 'empty') {
      if (as !== 'kept') rmSync(data, { recursive: true, force: true })
      if (as === 'saved') cpSync(saved, data, { recursive: true })
      const args = ['agent', ...(lasting ? [] : ['-dev']), '-config-file', join(folder, 'agent.json')]
      const started = spawn(program, args, { stdio: ['ignore', log, log] })
      child = started
      // Below what a hook of a test may take: it must be gone again by then.
      const until = performance.now() + 25_000
      while (!(await ready())) {
        if (performance.now() > until || started.exitCode !== null)
          throw new Error(`Consul did not start: ${readFileSync(join(folder, 'server.log'), 'utf8').slice(-2_000)}`)
        await wait(50)
      }
    },
    kill: () => end('SIGKILL'),
    async save() {
      await end('SIGINT')
      rmSync(saved, { recursive: true, force: true })
      if (existsSync(data)) cpSync(data, saved, { recursive: true })
      await instance.start('kept')
    },
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    async remove() {
      process.off('exit', onExit)
      await end('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
  // A test run that is ended early leaves no server behind.
  const onExit = (): void => {
    child?.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  process.on('exit', onExit)
  try {
    await instance.start(lasting ? 'empty' : undefined)
  } catch (error) {
    await instance.remove()
    throw error
  }
  return instance
}
