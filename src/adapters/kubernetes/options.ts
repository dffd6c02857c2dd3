// Options of the Kubernetes source: where the API server is, who we are, and which of a service's addresses are taken.
import { type Clock, type Random, systemClock, systemRandom } from '../../core/clock.ts'
import { durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { readPort } from '../../discovery/entry.ts'
import { shownUrl } from '../registry/client.ts'

/** Options of `kubernetesSource`. Inside a pod none is needed. Durations are milliseconds. */
export interface KubernetesSourceOptions {
  /** `https://host:port` of the API server. Default: the one of the cluster that this pod runs in (`KUBERNETES_SERVICE_HOST` and `..._PORT`). */
  readonly server?: string | undefined
  /** Where services without a namespace in their name are looked for. Default: the pod's own, or `default` outside a cluster. */
  readonly namespace?: string | undefined
  /** Bearer token, or a way to get one; the function is asked about once a minute and after a 401. Default: that of the service account, in a cluster. */
  readonly token?: string | (() => string | Promise<string>) | undefined
  /** File with the bearer token; read again about once a minute and after a 401, because the kubelet replaces it. */
  readonly tokenFile?: string | undefined
  /** Authority to believe, PEM. Default: that of the service account, in a cluster; else Node's own list. */
  readonly ca?: string | readonly string[] | undefined
  /** File with the authority, PEM; read again whenever a connection could not be made. */
  readonly caFile?: string | undefined
  /** Client certificate, PEM, and the name that the server's certificate must have, where that is not its address. */
  readonly tls?:
    | {
        readonly cert?: string | undefined
        readonly key?: string | undefined
        readonly servername?: string | undefined
      }
    | undefined
  /** Folder with `token`, `ca.crt` and `namespace`. Default `/var/run/secrets/kubernetes.io/serviceaccount`. */
  readonly serviceAccount?: string | undefined
  /** Name of the port to call, or its number. Default: the only one, else the one without a name, `http`, `https`, or the first. Only TCP ports count. */
  readonly port?: string | number | undefined
  /** Whether endpoints speak TLS. Default: where the port's `appProtocol` is `https`, or its name is `https` or begins with `https-`. */
  readonly secure?: boolean | undefined
  /** Name for Host and SNI. Default `<service>.<namespace>.svc`, the name that certificates of services carry. */
  readonly hostname?: string | undefined
  /** Which addresses of a dual-stack pod are taken, best first. Default `[4, 6]`. */
  readonly families?: readonly (4 | 6)[] | undefined
  /** Zone of this pod: endpoints that hints give to it come first (`trafficDistribution`, topology-aware routing). Default: hints of zones are not looked at. */
  readonly zone?: string | undefined
  /** Node of this pod: endpoints that hints give to it come first of all (`PreferSameNode`). Default: hints of nodes are not looked at. */
  readonly node?: string | undefined
  /** How long a list, and the beginning of a watch, may take. Default 10,000. */
  readonly timeoutMs?: number | undefined
  /** A watch on which nothing came for so long is begun anew: the server sends bookmarks every minute, once any slice has changed since it started. Default 90,000. */
  readonly idleMs?: number | undefined
  readonly clock?: Clock | undefined
  readonly random?: Random | undefined
}

/** Checked options. */
export interface KubernetesSettings {
  readonly server: string
  readonly inCluster: boolean
  readonly namespace: string | undefined
  readonly token: string | (() => string | Promise<string>) | undefined
  readonly tokenFile: string | undefined
  readonly ca: string | readonly string[] | undefined
  readonly caFile: string | undefined
  readonly tls: NonNullable<KubernetesSourceOptions['tls']>
  readonly serviceAccount: string
  readonly port: string | number | undefined
  readonly secure: boolean | undefined
  readonly hostname: string | undefined
  readonly families: readonly (4 | 6)[]
  readonly zone: string | undefined
  readonly node: string | undefined
  readonly timeoutMs: number
  readonly idleMs: number
  readonly clock: Clock
  readonly random: Random
}

const OPTIONS = [
  ...['server', 'namespace', 'token', 'tokenFile', 'ca', 'caFile', 'tls', 'serviceAccount', 'port', 'secure'],
  ...['hostname', 'families', 'zone', 'node', 'timeoutMs', 'idleMs', 'clock', 'random'],
]
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'

/** A name of Kubernetes that is one label: a service, a namespace. */
export const LABEL: RegExp = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/** Checks the options and fills in what a pod knows by itself. Reads no file. */
export function kubernetesSettings(options: KubernetesSourceOptions): KubernetesSettings {
  knownOptions('kubernetesSource', options, OPTIONS)
  const inCluster = options.server === undefined
  const server = inCluster ? clusterServer() : serverOf(options.server)
  const { namespace, serviceAccount = SERVICE_ACCOUNT, port, families = [4, 6], token, tokenFile, ca, caFile } = options
  if (namespace !== undefined && !LABEL.test(namespace))
    throw invalidOption('kubernetesSource.namespace', namespace, 'give the name of a namespace')
  if (port !== undefined && (typeof port === 'number' ? readPort(port) === undefined : port === ''))
    throw invalidOption('kubernetesSource.port', port, 'give the name of a port, or a number from 1 to 65535')
  if (!Array.isArray(families) || families.length === 0 || families.some((each) => each !== 4 && each !== 6))
    throw invalidOption('kubernetesSource.families', families, 'give [4], [6], [4, 6] or [6, 4]')
  if (token !== undefined && tokenFile !== undefined)
    throw invalidOption('kubernetesSource.tokenFile', tokenFile, 'give token or tokenFile, not both')
  if (ca !== undefined && caFile !== undefined)
    throw invalidOption('kubernetesSource.caFile', caFile, 'give ca or caFile, not both')
  const ownToken = inCluster && token === undefined ? `${serviceAccount}/token` : undefined
  const ownCa = inCluster && ca === undefined ? `${serviceAccount}/ca.crt` : undefined
  if ((token ?? tokenFile ?? ownToken) !== undefined && !keepsSecrets(server))
    throw invalidOption('kubernetesSource.server', server, 'a token is not sent in plain text: give an https address')
  return {
    server,
    inCluster,
    namespace,
    token,
    tokenFile: tokenFile ?? ownToken,
    ca,
    caFile: caFile ?? ownCa,
    tls: options.tls ?? {},
    serviceAccount,
    port,
    secure: options.secure,
    hostname: options.hostname,
    families,
    zone: options.zone,
    node: options.node,
    timeoutMs: durationOption('kubernetesSource.timeoutMs', options.timeoutMs, 10_000, 1),
    idleMs: durationOption('kubernetesSource.idleMs', options.idleMs, 90_000, 1),
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
  }
}

function clusterServer(): string {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT_HTTPS, KUBERNETES_SERVICE_PORT } = process.env
  const port = KUBERNETES_SERVICE_PORT_HTTPS ?? KUBERNETES_SERVICE_PORT ?? '443'
  if (host === undefined || host === '')
    throw invalidOption('kubernetesSource.server', undefined, 'this is not a pod of a cluster: give the https address')
  return serverOf(`https://${host.includes(':') ? `[${host}]` : host}:${port}`)
}

function serverOf(text: unknown): string {
  const fix = 'give https://host:port, with a path if there is one'
  if (typeof text !== 'string' || !URL.canParse(text))
    throw invalidOption('kubernetesSource.server', shownUrl(text), fix)
  const url = new URL(text)
  if (!/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '' || url.username !== '')
    throw invalidOption('kubernetesSource.server', shownUrl(text), fix)
  return url.href.replace(/\/+$/, '')
}

// `kubectl proxy` and test servers are plain, and on this machine.
function keepsSecrets(server: string): boolean {
  const { protocol, hostname } = new URL(server)
  return protocol === 'https:' || /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(hostname)
}
