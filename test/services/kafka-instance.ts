// Kafka brokers of one's own, for tests that stop, kill, cut or move them; the one of test/services/up is shared.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import type { ServerAddress } from './servers.ts'

// Built by servers/kafka.sh; keep the number in step with it.
const BUILD = 'kafka-4.4.0-3'
const CLUSTER = 'fairleadTestCluster01'

/** A broker that belongs to one test file. */
export interface KafkaInstance extends ServerAddress {
  /** `host:port`, as clients want it. */
  readonly brokers: string
  readonly pid: number | undefined
  /** On the same ports, with the same data; nothing where it is up. Resolves when it answers. */
  start(): Promise<void>
  /** Stops it in good order (SIGTERM). */
  stop(): Promise<void>
  /** Kills it (kill -9): what the operating system has of its files stays. */
  kill(): Promise<void>
  /** Stops it where it stands (SIGSTOP): connections are accepted by the kernel, and nobody answers. */
  pause(): void
  /** Lets it go on (SIGCONT). */
  resume(): void
  /** Kills it and deletes its data. */
  remove(): Promise<void>
}

/** One more listener of a broker. */
export interface KafkaListener {
  readonly name: string
  readonly port: number
  /** What clients are told to connect to: the address of a proxy before it. Default: the listener itself. */
  readonly advertised?: ServerAddress | undefined
  /** Default `PLAINTEXT`. */
  readonly protocol?: 'PLAINTEXT' | 'SASL_PLAINTEXT' | undefined
}

/** Options of a broker. */
export interface KafkaInstanceOptions {
  readonly listeners?: readonly KafkaListener[] | undefined
  /** Lines of server.properties over those of kafka-server/base.properties. */
  readonly settings?: Readonly<Record<string, string>> | undefined
  /** Its place in a cluster. Default: alone. */
  readonly node?: { readonly id: number; readonly controllerPort: number; readonly combined: boolean } | undefined
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => socket.end()).once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
  })

/** Where servers/kafka.sh has put the broker and its tools. */
export const kafkaHome = (): string => {
  const { FAIRLEAD_HOME, XDG_CACHE_HOME } = process.env
  const home = join(FAIRLEAD_HOME || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'fairlead'), 'bin', BUILD)
  if (!existsSync(join(home, 'run'))) throw new Error('Kafka is not built: test/services/up kafka does it')
  return home
}

/** Starts a private broker; takes two seconds. */
export const startKafka = async (options: KafkaInstanceOptions = {}): Promise<KafkaInstance> => {
  const home = kafkaHome()
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-kafka-'))
  const log = join(folder, 'server.log')
  const data = join(folder, 'data')
  const port = await freePort()
  const { id, controllerPort, combined } = options.node ?? { id: 1, controllerPort: await freePort(), combined: true }
  const listeners = [{ name: 'PLAINTEXT', port }, ...(options.listeners ?? [])] as readonly KafkaListener[]
  const settings: Record<string, string> = {
    'node.id': String(id),
    'process.roles': combined ? 'broker,controller' : 'broker',
    listeners: [...listeners, ...(combined ? [{ name: 'CONTROLLER', port: controllerPort }] : [])]
      .map((each) => `${each.name}://127.0.0.1:${each.port}`)
      .join(','),
    'advertised.listeners': listeners
      .map(({ name, port: own, advertised }) => `${name}://127.0.0.1:${advertised?.port ?? own}`)
      .join(','),
    'listener.security.protocol.map': [{ name: 'CONTROLLER', protocol: 'PLAINTEXT' }, ...listeners]
      .map(({ name, protocol = 'PLAINTEXT' }) => `${name}:${protocol}`)
      .join(','),
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    'log.dirs': data,
    ...options.settings,
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}`)
  writeFileSync(
    join(folder, 'server.properties'),
    `${readFileSync(join(home, 'base.properties'), 'utf8')}\n${lines.join('\n')}\n`,
  )
  if (combined) cpSync(join(home, 'formatted'), data, { recursive: true })
  else {
    // A broker that is no controller needs to know only who it is.
    mkdirSync(data)
    const identity = randomBytes(16).toString('base64url')
    writeFileSync(
      join(data, 'meta.properties'),
      `version=1\ncluster.id=${CLUSTER}\nnode.id=${id}\ndirectory.id=${identity}\n`,
    )
  }

  let child: ChildProcess | undefined
  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    const ending = child
    child = undefined
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return
    const ended = new Promise<void>((resolve) => ending.once('exit', () => resolve()))
    ending.kill(signal)
    // One that waits for others in vain (a broker whose controller is gone) is not waited for.
    const late = setTimeout(() => ending.kill('SIGKILL'), 15_000)
    await ended
    clearTimeout(late)
  }
  const instance: KafkaInstance = {
    host: '127.0.0.1',
    port,
    brokers: `127.0.0.1:${port}`,
    get pid() {
      return child?.pid
    },
    async start() {
      if (child !== undefined && child.exitCode === null && child.signalCode === null) return
      const out = openSync(log, 'a')
      // The launcher becomes the server, so its process is the server's own.
      const started = spawn(join(home, 'run'), [join(folder, 'server.properties')], { stdio: ['ignore', out, out] })
      closeSync(out)
      child = started
      for (let tries = 0; tries < 1_200; tries++) {
        if (started.exitCode !== null || started.signalCode !== null) break
        // Its listeners are opened one after the other.
        const up = await Promise.all(listeners.map((each) => answers(each.port)))
        if (up.every((each) => each)) return
        await pause(50)
      }
      throw new Error(`Kafka did not start: ${readFileSync(log, 'utf8').slice(-4_000)}`)
    },
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    async remove() {
      process.off('exit', onExit)
      child?.kill('SIGCONT')
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
  await instance.start()
  return instance
}

/** Brokers that keep copies for each other. */
export interface KafkaCluster {
  /** The first is the controller as well; the others may be lost. */
  readonly nodes: readonly KafkaInstance[]
  /** All of them, as clients want it. */
  readonly brokers: readonly string[]
  remove(): Promise<void>
}

/** Starts several private brokers. */
export const startKafkaCluster = async (
  count: number,
  settings: Readonly<Record<string, string>> = {},
): Promise<KafkaCluster> => {
  const controllerPort = await freePort()
  const nodes: KafkaInstance[] = []
  const common = {
    'default.replication.factor': String(count),
    'offsets.topic.replication.factor': String(count),
    ...settings,
  }
  for (let id = 1; id <= count; id++)
    nodes.push(await startKafka({ settings: common, node: { id, controllerPort, combined: id === 1 } }))
  return {
    nodes,
    brokers: nodes.map(({ brokers }) => brokers),
    async remove() {
      await Promise.all(nodes.map((node) => node.remove()))
    },
  }
}
