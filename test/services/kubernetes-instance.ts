// A Kubernetes API server with an etcd of its own, for tests that kill, pause or restore it; the one of test/services/up is shared.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { closeSync, cpSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort } from './free-port.ts'
import { builtProgram, type ServerAddress } from './servers.ts'

const run = promisify(execFile)

/** The token of an administrator. */
export const ADMIN_TOKEN = 'fairlead-admin'

/** An answer of the API. */
export interface ApiAnswer {
  readonly status: number
  readonly body: Record<string, unknown>
}

/** A server that belongs to one test file. There are no controllers and no nodes: what is not written is not there. RBAC is on. */
export interface KubernetesInstance extends ServerAddress {
  readonly url: string
  readonly folder: string
  /** The authority of its certificate, PEM; the same after every start. */
  readonly ca: string
  /** Starts what is not running, on the same ports. Resolves when it is ready. */
  start(): Promise<void>
  /** Kills the API server (kill -9); etcd keeps what it knows. */
  kill(): Promise<void>
  /** Stops the API server where it stands (SIGSTOP). */
  pause(): void
  /** Lets it go on (SIGCONT). */
  resume(): void
  /** Forgets everything. The API server has to be down. */
  wipe(): Promise<void>
  /** Keeps a backup of etcd, whose process is started again for it. */
  save(): Promise<void>
  /** Puts the backup back. The API server has to be down. */
  restore(): Promise<void>
  /** Has etcd forget its history: after a restart of the API server nobody can go on from an older version. */
  compact(): Promise<void>
  /** Who is let in from the next start on: lines `token,user,uid[,"group"]` besides the administrator's. */
  letIn(lines: readonly string[]): void
  api(method: string, path: string, body?: unknown, token?: string): Promise<ApiAnswer>
  /** Kills both and deletes the folder. */
  remove(): Promise<void>
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Starts a private server; takes about four seconds. */
export const startKubernetes = async (): Promise<KubernetesInstance> => {
  const program = builtProgram('kube-apiserver')
  if (program === undefined) throw new Error('kube-apiserver is not built: test/services/up kubernetes does it')
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-kubernetes-'))
  const [port, etcdPort, peerPort] = [await freePort(), await freePort(), await freePort()]
  const data = join(folder, 'etcd')
  const backup = join(folder, 'backup')
  const tokens = join(folder, 'tokens.csv')
  const key = join(folder, 'sa.key')
  await run('openssl', ['genrsa', '-out', key, '2048'])
  const etcdUrl = `http://127.0.0.1:${etcdPort}`
  const peerUrl = `http://127.0.0.1:${peerPort}`
  const etcdArgs = [
    ...['--name', 'n1', '--data-dir', data, '--unsafe-no-fsync', '--logger', 'zap', '--log-level', 'warn'],
    ...['--listen-client-urls', etcdUrl, '--advertise-client-urls', etcdUrl, '--initial-cluster', `n1=${peerUrl}`],
    ...['--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl],
  ]
  const apiArgs = [
    ...[`--etcd-servers=${etcdUrl}`, '--bind-address=127.0.0.1', `--secure-port=${port}`],
    ...[`--cert-dir=${join(folder, 'certs')}`, `--token-auth-file=${tokens}`, '--authorization-mode=RBAC'],
    ...['--service-account-issuer=https://fairlead.test', `--service-account-key-file=${key}`],
    ...[`--service-account-signing-key-file=${key}`, '--service-cluster-ip-range=10.0.0.0/24'],
    ...['--endpoint-reconciler-type=none', '--disable-admission-plugins=ServiceAccount'],
  ]
  const agent = new Agent({ keepAlive: true, maxSockets: 8 })
  let etcd: ChildProcess | undefined
  let api: ChildProcess | undefined

  const launch = (file: string, args: readonly string[], log: string): ChildProcess => {
    const out = openSync(join(folder, log), 'a')
    const started = spawn(file, args, { cwd: folder, stdio: ['ignore', out, out] })
    closeSync(out)
    return started
  }
  const running = (child: ChildProcess | undefined): child is ChildProcess =>
    child !== undefined && child.exitCode === null && child.signalCode === null
  const end = async (child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> => {
    if (!running(child)) return
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    child.kill(signal)
    if (signal === 'SIGKILL') child.kill('SIGCONT')
    await ended
  }
  const until = async (
    what: string,
    child: () => ChildProcess | undefined,
    log: string,
    is: () => Promise<boolean>,
  ) => {
    for (let tries = 0; tries < 1_200 && running(child()); tries++) {
      if (await is().catch(() => false)) return
      await pause(50)
    }
    throw new Error(`${what} did not start: ${readFileSync(join(folder, log), 'utf8').slice(-4_000)}`)
  }
  const startEtcd = async (): Promise<void> => {
    if (running(etcd)) return
    etcd = launch('etcd', etcdArgs, 'etcd.log')
    await until(
      'etcd',
      () => etcd,
      'etcd.log',
      async () => {
        const response = await fetch(`${etcdUrl}/health`, { signal: AbortSignal.timeout(2_000) })
        return ((await response.json()) as { health?: unknown }).health === 'true'
      },
    )
  }

  const instance: KubernetesInstance = {
    host: '127.0.0.1',
    port,
    url: `https://127.0.0.1:${port}`,
    folder,
    get ca() {
      return readFileSync(join(folder, 'certs', 'apiserver.crt'), 'utf8')
    },
    async start() {
      await startEtcd()
      if (running(api)) return
      api = launch(program, apiArgs, 'api.log')
      await until(
        'kube-apiserver',
        () => api,
        'api.log',
        async () => {
          const { status } = await instance.api('GET', '/readyz')
          return status === 200
        },
      )
    },
    kill: () => end(api, 'SIGKILL'),
    pause: () => void api?.kill('SIGSTOP'),
    resume: () => void api?.kill('SIGCONT'),
    async wipe() {
      await end(etcd, 'SIGKILL')
      rmSync(data, { recursive: true, force: true })
    },
    async save() {
      await end(etcd, 'SIGTERM')
      rmSync(backup, { recursive: true, force: true })
      cpSync(data, backup, { recursive: true })
      await startEtcd()
    },
    async restore() {
      await instance.wipe()
      cpSync(backup, data, { recursive: true })
    },
    async compact() {
      const post = async (path: string, body: object): Promise<{ header: { revision: string } }> => {
        const response = await fetch(`${etcdUrl}${path}`, { method: 'POST', body: JSON.stringify(body) })
        if (!response.ok) throw new Error(`etcd answered ${response.status}: ${await response.text()}`)
        return (await response.json()) as { header: { revision: string } }
      }
      const { header } = await post('/v3/kv/range', { key: Buffer.from('/').toString('base64') })
      await post('/v3/kv/compaction', { revision: header.revision, physical: true })
    },
    letIn(lines) {
      writeFileSync(tokens, [`${ADMIN_TOKEN},admin,admin,"system:masters"`, ...lines, ''].join('\n'))
    },
    api: (method, path, body, token = ADMIN_TOKEN) =>
      new Promise((resolve, reject) => {
        const text = body === undefined ? undefined : JSON.stringify(body)
        const headers = {
          authorization: `Bearer ${token}`,
          ...(text === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        }
        const asked = request(
          `${instance.url}${path}`,
          { method, headers, agent, ca: instance.ca, timeout: 20_000 },
          (answer) => {
            const pieces: Buffer[] = []
            answer.on('data', (piece: Buffer) => pieces.push(piece))
            answer.on('error', reject)
            answer.on('end', () => {
              const said = Buffer.concat(pieces).toString()
              resolve({
                status: answer.statusCode ?? 0,
                body: said.startsWith('{') ? (JSON.parse(said) as Record<string, unknown>) : { text: said },
              })
            })
          },
        )
        asked.on('timeout', () => asked.destroy(new Error(`${method} ${path} takes too long`)))
        asked.on('error', reject).end(text)
      }),
    async remove() {
      process.off('exit', onExit)
      agent.destroy()
      await Promise.all([end(api, 'SIGKILL'), end(etcd, 'SIGKILL')])
      rmSync(folder, { recursive: true, force: true })
    },
  }
  // A test run that is ended early leaves no server behind.
  const onExit = (): void => {
    api?.kill('SIGKILL')
    etcd?.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  process.on('exit', onExit)
  instance.letIn([])
  await instance.start()
  return instance
}
