// A Eureka of one's own, for tests that kill, pause or restart it; the one of test/services/up is shared.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import type { ServerAddress } from './servers.ts'

// Built by servers/eureka.sh; keep the number in step with it.
const BUILD = 'eureka-2025.0.0-2'

/** A server that belongs to one test file. What it knows is lost when it ends. */
export interface EurekaInstance extends ServerAddress {
  readonly url: string
  readonly pid: number | undefined
  /** On the same port, knowing nothing. Resolves when it answers. */
  start(): Promise<void>
  /** Kills it (kill -9). */
  kill(): Promise<void>
  /** Stops it where it stands (SIGSTOP); connections are accepted by the kernel, and nobody answers. */
  pause(): void
  /** Lets it go on (SIGCONT). */
  resume(): void
  /** Kills it and deletes its folder. */
  remove(): Promise<void>
}

/** Options of a server. */
export interface EurekaInstanceOptions {
  /** Where it listens. Default: a port that is free. */
  readonly port?: number | undefined
  /** Its peers, as base URLs: they copy what they hear to one another. A peer's URL must say `localhost`, not 127.0.0.1. */
  readonly peers?: readonly string[] | undefined
  /** Spring properties over those of eureka-server/.../application.properties. */
  readonly settings?: Readonly<Record<string, string>> | undefined
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const answers = async (url: string): Promise<boolean> => {
  try {
    const response = await fetch(`${url}/apps/delta`, { signal: AbortSignal.timeout(2_000) })
    await response.text()
    return response.ok
  } catch {
    return false
  }
}

/** Starts a private server; takes a few seconds. */
export const startEureka = async (options: EurekaInstanceOptions = {}): Promise<EurekaInstance> => {
  const { FAIRLEAD_HOME, XDG_CACHE_HOME } = process.env
  const home = FAIRLEAD_HOME || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'fairlead')
  const program = join(home, 'bin', BUILD, 'run')
  if (!existsSync(program)) throw new Error('Eureka is not built: test/services/up eureka does it')
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-eureka-'))
  const log = join(folder, 'server.log')
  const port = options.port ?? (await freePort())
  const url = `http://127.0.0.1:${port}/eureka`
  const settings = {
    ...(options.peers === undefined ? {} : { 'eureka.client.service-url.defaultZone': options.peers.join(',') }),
    ...options.settings,
  }

  let child: ChildProcess | undefined
  let runs = 0
  const instance: EurekaInstance = {
    host: '127.0.0.1',
    port,
    url,
    // The launcher becomes the server, so this is the server's own.
    get pid() {
      return child?.pid
    },
    async start() {
      const own = join(folder, String(runs++))
      mkdirSync(own)
      const out = openSync(log, 'a')
      const started = spawn(
        program,
        [String(port), own, ...Object.entries(settings).map(([name, value]) => `--${name}=${value}`)],
        { stdio: ['ignore', out, out] },
      )
      closeSync(out)
      child = started
      for (let tries = 0; tries < 600; tries++) {
        if (started.exitCode !== null || started.signalCode !== null) break
        if (await answers(url)) return
        await pause(100)
      }
      throw new Error(`Eureka did not start: ${readFileSync(log, 'utf8').slice(-4_000)}`)
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
  await instance.start()
  return instance
}
