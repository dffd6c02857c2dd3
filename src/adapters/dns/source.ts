// Services found in DNS: A and AAAA, or SRV, asked again when their time is over, and believed with care when a name is gone.
import type { Endpoint, Source, SourceUpdate } from '../../core/contracts/source.ts'
import { type Asked, keepAsking } from '../../discovery/asking.ts'
import { createError } from '../../errors/classes.ts'
import { endpointId, instancesOf, NameOfAddresses } from './addresses.ts'
import { type Asking, askingFor, candidatesFor, hostnameOf } from './names.ts'
import { type DnsSettings, type DnsSourceOptions, dnsSettings } from './options.ts'
import { Questions } from './questions.ts'
import { systemSearchList } from './resolv-conf.ts'
import { NameOfServices } from './services.ts'

/**
 * A source that asks DNS.
 *
 * What a name means: `_http._tcp.api.example` and names without a port are asked for SRV, others for A and AAAA; short names are completed
 * with the search list; what DNS does not know is looked up in the hosts file. A known name that is gone is believed after `absentAfter`
 * answers in a row; SERVFAIL, REFUSED and silence say nothing and never empty what is known.
 *
 * Others can write what DNS says, so the source is `remote`: a discovery refuses loopback and link-local addresses from it, and a name
 * such as `localhost` needs its option `allow`.
 * @throws FairleadError INVALID_OPTIONS; `watch` does for a service whose name is no DNS name, or that has no port
 * @example dnsSource({ names: '{service}.prod.svc.cluster.local', port: 8080 }) // a headless service of Kubernetes
 * @example dnsSource({ names: '_http._tcp.{service}.prod.svc.cluster.local' }) // the same, with the port by its name
 */
export function dnsSource(options: DnsSourceOptions = {}): Source {
  const settings = dnsSettings(options)
  const questions = new Questions(settings)
  return {
    name: 'dns',
    remote: true,
    watch(service, sink) {
      const watched = new WatchedName(askingFor(service, settings), settings, questions)
      const { clock, random } = settings
      return keepAsking({ clock, random, sink, ask: (signal) => watched.ask(signal) })
    },
  }
}

// The negative answers of DNS carry no time that Node would give: a name that is not there yet is asked for as often as Envoy asks for any.
const ABSENT_MS = 5_000
// Askers that began together must not stay together.
const JITTER = 0.1

type Word = Exclude<SourceUpdate, { readonly type: 'error' }>
type Found = {
  readonly type: 'found'
  readonly endpoints: readonly Endpoint[]
  readonly ttlMs: number | undefined
  readonly notes: readonly string[]
}
type Reply = Found | { readonly type: 'none'; readonly exists: boolean } | { readonly type: 'closed' }

interface Candidate {
  readonly name: string
  ask(signal: AbortSignal): Promise<Reply>
}

class WatchedName {
  readonly #asking: Asking
  readonly #settings: DnsSettings
  readonly #questions: Questions
  readonly #shared: Pick<Endpoint, 'hostname' | 'secure'>
  /** Which of the candidates answered last. */
  #answering: Candidate | undefined
  /** Somebody was there when it was asked last. */
  #standing = false
  #misses = 0

  constructor(asking: Asking, settings: DnsSettings, questions: Questions) {
    this.#asking = asking
    this.#settings = settings
    this.#questions = questions
    const hostname = hostnameOf(asking)
    this.#shared = { ...(hostname === undefined ? {} : { hostname }), ...(settings.secure ? { secure: true } : {}) }
  }

  async ask(signal: AbortSignal): Promise<Asked> {
    const { maxTtlMs } = this.#settings
    const { literal, name } = this.#asking
    if (literal) return this.#told(this.#fromAddresses([[name]]), maxTtlMs)
    const { reply, doubted } = await this.#reply(signal).catch((error: unknown) => {
      this.#misses = 0
      throw error
    })
    if (reply.type === 'found') {
      this.#standing = true
      this.#misses = 0
      return this.#told(reply.endpoints, this.#clamp(reply.ttlMs ?? maxTtlMs), reply.notes)
    }
    if (reply.type === 'none') this.#doubt(reply.exists, doubted)
    this.#standing = false
    this.#misses = 0
    this.#answering = undefined
    const update: Word =
      reply.type === 'none' && reply.exists ? { type: 'snapshot', endpoints: [] } : { type: 'absent' }
    return { update, againMs: this.#jitter(this.#clamp(ABSENT_MS)) }
  }

  // Throws while the answer is not believed.
  #doubt(exists: boolean, doubted: Candidate | undefined): void {
    const { absentAfter } = this.#settings
    const name = doubted?.name ?? this.#asking.name
    if (this.#standing && ++this.#misses < absentAfter) {
      const message = `${exists ? 'no records (NODATA)' : 'no such name (NXDOMAIN)'} for ${name}: ${this.#misses} of the ${absentAfter} answers in a row that it takes to be believed`
      throw createError({ code: 'NAME_NOT_FOUND', message, stack: false })
    }
    if (exists && this.#asking.unsure) {
      const message = `${name} has no SRV records, and no port is given for its addresses: dnsSource({ port }), or a name such as ${name}:80`
      throw createError({ code: 'NAME_NOT_FOUND', message, stack: false })
    }
  }

  async #reply(signal: AbortSignal): Promise<{ readonly reply: Reply; readonly doubted?: Candidate | undefined }> {
    const answering = this.#answering
    const first = answering === undefined ? undefined : await answering.ask(signal)
    if (first !== undefined && first.type !== 'none') return { reply: first }
    // The other suffixes belong to other names, and one of them may have a wildcard: a blip must not send calls there.
    if (first !== undefined && this.#misses + 1 < this.#settings.absentAfter)
      return { reply: first, doubted: answering }
    let exists = first?.exists === true
    for (const candidate of await this.#candidates()) {
      if (candidate.name === answering?.name) continue
      // An error ends it: whoever goes on to the next suffix calls another service.
      const reply = await candidate.ask(signal)
      if (reply.type !== 'none') {
        this.#answering = candidate
        return { reply }
      }
      exists ||= reply.exists
    }
    return { reply: (await this.#inSystem(signal)) ?? { type: 'none', exists }, doubted: answering }
  }

  async #candidates(): Promise<readonly Candidate[]> {
    const { search, ndots } = this.#settings
    const system = search === undefined || ndots === undefined ? await systemSearchList() : undefined
    const names = candidatesFor(this.#asking.name, search ?? system?.search ?? [], ndots ?? system?.ndots ?? 1)
    return names.map((name) => this.#candidate(name))
  }

  #candidate(name: string): Candidate {
    if (this.#asking.type === 'srv') {
      const services = new NameOfServices(name, this.#settings, this.#questions)
      return { name, ask: (signal) => services.ask(this.#shared, signal) }
    }
    const addresses = new NameOfAddresses(name, this.#settings, this.#questions)
    return {
      name,
      ask: async (signal) => {
        const found = await addresses.ask(signal)
        if (found.type === 'none') return found
        const instances = instancesOf(found.v4, found.v6)
        // A platform's virtual IP (ClusterIP of Kubernetes, a service of Docker) looks just like this.
        const alone = `one address behind ${name}: if it is a virtual IP of the platform, what is behind it is chosen there and not here`
        const notes = instances.length === 1 ? [alone, ...found.notes] : found.notes
        return { type: 'found', endpoints: this.#fromAddresses(instances), ttlMs: found.ttlMs, notes }
      },
    }
  }

  // The hosts file and what else the system knows. It is asked for the name as it stands: it has the search list itself.
  async #inSystem(signal: AbortSignal): Promise<Found | undefined> {
    const { name, type } = this.#asking
    if (type === 'srv') return undefined
    const answer = await this.#questions.system(name, signal)
    if (answer.type === 'none') return undefined
    const { family } = this.#settings
    const hosts = [...new Set(answer.records)].sort()
    const v4 = family === 6 ? [] : hosts.filter((each) => !each.includes(':'))
    const v6 = family === 4 ? [] : hosts.filter((each) => each.includes(':'))
    if (v4.length + v6.length === 0) return undefined
    const notes = [`DNS does not know ${name}: taken from the hosts file, or from where else the system looks`]
    return { type: 'found', endpoints: this.#fromAddresses(instancesOf(v4, v6)), ttlMs: undefined, notes }
  }

  #fromAddresses(instances: readonly (readonly [string, ...string[]])[]): readonly Endpoint[] {
    const port = this.#asking.port as number
    return instances.map((hosts) => ({
      id: endpointId(hosts[0], port),
      addresses: hosts.map((host) => ({ host, port })),
      ...this.#shared,
    }))
  }

  #told(endpoints: readonly Endpoint[], ttlMs: number, notes: readonly string[] = []): Asked {
    const note = notes.length === 0 ? {} : { note: notes.join('; ') }
    return { update: { type: 'snapshot', endpoints, ttlMs, ...note }, againMs: this.#jitter(ttlMs) }
  }

  #clamp(ttlMs: number): number {
    const { minTtlMs, maxTtlMs } = this.#settings
    return Math.min(Math.max(ttlMs, minTtlMs), maxTtlMs)
  }

  // Only ever later: whoever asks before a cache has let go of its answer gets the same one again.
  #jitter(ms: number): number {
    return ms * (1 + JITTER * this.#settings.random())
  }
}
