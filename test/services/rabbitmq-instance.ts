// A RabbitMQ of one's own, for tests that stop, kill, starve or reconfigure it; the one of test/services/up is shared.
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { freePort } from './free-port.ts'
import type { ServerAddress } from './servers.ts'

const run = promisify(execFile)

/** How it is ended: `fast` asks it to, `kill` is kill -9, as good as a crash. */
export type RabbitmqStopMode = 'fast' | 'kill'

/** How a server is set up. */
export interface RabbitmqSettings {
  /** Lines of rabbitmq.conf besides our own, such as `consumer_timeout = 5000`. */
  readonly config?: readonly string[] | undefined
  /** Settings of the server that rabbitmq.conf has no name for, as Erlang terms: `{ channel_tick_interval: '1000' }`. */
  readonly terms?: Readonly<Record<string, string>> | undefined
}

/** A server that belongs to one test file. The user is `guest`, password `guest`, and may do everything in the virtual host `/`. */
export interface RabbitmqInstance extends ServerAddress {
  readonly pid: number | undefined
  /** On the same port, with the same data. Resolves once it speaks AMQP. */
  start(): Promise<void>
  stop(mode?: RabbitmqStopMode): Promise<void>
  restart(mode?: RabbitmqStopMode): Promise<void>
  /** Stops it where it stands (SIGSTOP): connections stay open and nothing answers. */
  pause(): void
  /** Lets it go on (SIGCONT). */
  resume(): void
  /** Starts it again with nothing: queues, users and messages are gone. */
  reset(): Promise<void>
  /**
   * Has the server write down which queues there are (Mnesia, DETS). It does so by itself about a second after one was made; one that was made later is gone, or does not work,
   * after kill -9, and this is no fault of whoever uses it. Messages are written before they are confirmed, with this or without.
   */
  remember(): Promise<void>
  /** `rabbitmqctl` with these arguments; what it prints. About a second. */
  control(...args: readonly string[]): Promise<string>
  /** Kills it and deletes its data. */
  remove(): Promise<void>
}

const binaries = (): string => {
  const usual = '/usr/lib/rabbitmq/bin'
  if (existsSync(join(usual, 'rabbitmq-server'))) return usual
  try {
    const files = execFileSync('dpkg', ['-L', 'rabbitmq-server'], { encoding: 'utf8' }).split('\n')
    const found = files.find((file) => file.endsWith('lib/rabbitmq/bin/rabbitmq-server'))
    if (found !== undefined) return dirname(found)
  } catch {
    // Not a Debian, or not installed: said below.
  }
  throw new Error('RabbitMQ is not installed: test/services/up rabbitmq installs it')
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** The protocol header of AMQP 0-9-1. A port that only accepts may belong to a server that is not ready. */
const speaks = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const settle = (is: boolean): void => {
      socket.destroy()
      resolve(is)
    }
    socket.once('connect', () => socket.write(Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1])))
    socket.once('data', () => settle(true)).once('error', () => settle(false))
    socket.once('close', () => settle(false)).setTimeout(2_000, () => settle(false))
  })

/** Starts a private server; takes six to nine seconds. What it has confirmed for a quorum queue outlives a kill. */
export const startRabbitmq = async ({ config = [], terms = {} }: RabbitmqSettings = {}): Promise<RabbitmqInstance> => {
  const bin = binaries()
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-rabbitmq-'))
  const [port, distPort, epmdPort] = [await freePort(), await freePort(), await freePort()]
  const log = join(folder, 'server.log')
  writeFileSync(join(folder, 'enabled_plugins'), '[].')
  const lines = [
    'loopback_users.guest = true',
    'log.file.level = warning',
    'vm_memory_high_watermark.relative = 0.2',
    'disk_free_limit.absolute = 50MB',
    'raft.wal_max_size_bytes = 33554432',
    ...config,
  ]
  writeFileSync(join(folder, 'rabbitmq.conf'), `${lines.join('\n')}\n`)
  const loopback = '-kernel inet_dist_use_interface {127,0,0,1}'
  const settings = Object.entries(terms).map(([name, value]) => `-rabbit ${name} ${value}`)
  const quiet = '+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none'
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    HOME: folder,
    LC_ALL: 'C.UTF-8',
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    // The start script becomes the server instead of waiting for it, so that our pid is the server's.
    RABBITMQ_ALLOW_INPUT: '1',
    RABBITMQ_NODENAME: `fairlead${port}@localhost`,
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(distPort),
    RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
    RABBITMQ_LOG_BASE: join(folder, 'log'),
    RABBITMQ_PID_FILE: join(folder, 'pid'),
    RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
    RABBITMQ_ADVANCED_CONFIG_FILE: join(folder, 'none.config'),
    RABBITMQ_CONF_ENV_FILE: join(folder, 'none.conf'),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
    RABBITMQ_GENERATED_CONFIG_DIR: join(folder, 'config'),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: ['-noinput', loopback, quiet, ...settings].join(' '),
    RABBITMQ_CTL_ERL_ARGS: loopback,
  }
  const launch = (program: string, args: readonly string[]): ChildProcess => {
    const out = openSync(log, 'a')
    const started = spawn(program, args, { cwd: folder, env, stdio: ['ignore', out, out] })
    closeSync(out)
    return started
  }
  const running = (child: ChildProcess | undefined): child is ChildProcess =>
    child !== undefined && child.exitCode === null && child.signalCode === null
  const end = async (child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> => {
    if (!running(child)) return
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    child.kill(signal)
    // One that is paused hears nothing but SIGKILL.
    child.kill('SIGCONT')
    await ended
  }

  // The name registry of Erlang: one that the server starts by itself would outlive it.
  const epmd = launch('epmd', ['-address', '127.0.0.1', '-port', String(epmdPort)])
  let child: ChildProcess | undefined
  const instance: RabbitmqInstance = {
    host: '127.0.0.1',
    port,
    get pid() {
      return child?.pid
    },
    async start() {
      if (running(child)) return
      const started = launch(join(bin, 'rabbitmq-server'), [])
      child = started
      for (let tries = 0; tries < 1_200 && running(started); tries++) {
        if (await speaks(port)) return
        await pause(50)
      }
      throw new Error(`RabbitMQ did not start: ${readFileSync(log, 'utf8').slice(-4_000)}`)
    },
    stop: (mode = 'fast') => end(child, mode === 'kill' ? 'SIGKILL' : 'SIGTERM'),
    async restart(mode = 'fast') {
      await instance.stop(mode)
      await instance.start()
    },
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    async reset() {
      await instance.stop('kill')
      rmSync(join(folder, 'mnesia'), { recursive: true, force: true })
      await instance.start()
    },
    async remember() {
      await instance.control(
        'eval',
        'mnesia:dump_log(), mnesia:sync_log(), [ok = dets:sync(Table) || Table <- dets:all()].',
      )
    },
    async control(...args) {
      const ask = (...given: readonly string[]): Promise<{ stdout: string }> =>
        run(join(bin, 'rabbitmqctl'), ['--quiet', '--timeout', '30', ...given], {
          cwd: folder,
          env: { ...env, RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '' },
        })
      try {
        return (await ask(...args)).stdout
      } catch (error) {
        // It speaks to clients before it calls itself started.
        if (!String(error).includes("requires the 'rabbit' app to be running")) throw error
        await ask('await_startup')
        return (await ask(...args)).stdout
      }
    },
    async remove() {
      process.off('exit', onExit)
      await end(child, 'SIGKILL')
      await end(epmd, 'SIGKILL')
      rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
    },
  }
  // A test run that is ended early leaves no server behind.
  const onExit = (): void => {
    child?.kill('SIGKILL')
    epmd.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  }
  process.on('exit', onExit)
  try {
    await instance.start()
  } catch (error) {
    await instance.remove()
    throw error
  }
  return instance
}
