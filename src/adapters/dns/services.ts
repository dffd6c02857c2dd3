// SRV records (RFC 2782) and the addresses of their targets: priorities and weights as the balancers know them.
import { setMaxListeners } from 'node:events'
import { isIP } from 'node:net'
import type { Endpoint } from '../../core/contracts/source.ts'
import { readHost, readPort } from '../../discovery/entry.ts'
import { createError } from '../../errors/classes.ts'
import { type Addresses, endpointId, fillsAnswer, instancesOf, NameOfAddresses } from './addresses.ts'
import type { DnsService, DnsSettings } from './options.ts'
import type { Questions } from './questions.ts'

/** The endpoints behind SRV records; `closed`: the target is `.`, so the service is decidedly not there. */
export type Services =
  | {
      readonly type: 'found'
      readonly endpoints: readonly Endpoint[]
      readonly ttlMs: number | undefined
      readonly notes: readonly string[]
    }
  | { readonly type: 'none'; readonly exists: boolean }
  | { readonly type: 'closed' }

interface Target {
  readonly host: string
  readonly port: number
  readonly priority: number
  readonly weight: number
}

type Found = Extract<Addresses, { readonly type: 'found' }>

// So many targets are asked for at a time: a thousand questions at once would be lost in the buffer of a socket.
const AT_ONCE = 16

/** What is known of one SRV name over many questions. */
export class NameOfServices {
  readonly #name: string
  readonly #settings: Pick<DnsSettings, 'family' | 'absentAfter'>
  readonly #questions: Questions
  #targets = new Map<string, { readonly name: NameOfAddresses; last: Found | undefined }>()

  constructor(name: string, settings: Pick<DnsSettings, 'family' | 'absentAfter'>, questions: Questions) {
    this.#name = name
    this.#settings = settings
    this.#questions = questions
  }

  /** Rejects when the records, or all of their targets, cannot be had. */
  async ask(shared: Pick<Endpoint, 'hostname' | 'secure'>, signal: AbortSignal): Promise<Services> {
    const answer = await this.#questions.services(this.#name, signal)
    if (answer.type === 'none') {
      this.#targets = new Map()
      return answer
    }
    if (answer.records.length === 1 && isRoot(answer.records[0]?.name)) return { type: 'closed' }
    const targets = answer.records.map(readTarget).filter((each) => each !== undefined)
    const notes: string[] = []
    const bad = answer.records.length - targets.length
    if (bad > 0) notes.push(`${bad} SRV records of ${this.#name} have no target or port that can be used`)
    // Three numbers, and the target written out.
    const dataBytes = targets.reduce((sum, each) => sum + 6 + each.host.length + 2, 0)
    if (fillsAnswer(this.#name, targets.length, dataBytes))
      notes.push(`${this.#name} has as many SRV records as an answer of DNS can hold: there may be more`)
    const found = await this.#resolve([...new Set(targets.map((each) => each.host))], notes, signal)
    const endpoints = endpointsOf(targets, found, shared)
    if (endpoints.length === 0) {
      const message = `${this.#name} has ${answer.records.length} SRV records, and none of them leads to an address${notes.length === 0 ? '' : `: ${notes[0]}`}`
      throw createError({ code: 'NAME_LOOKUP_FAILED', message, stack: false })
    }
    const ttls = [...found.values()].map((each) => each.ttlMs).filter((each) => each !== undefined)
    return { type: 'found', endpoints, ttlMs: ttls.length === 0 ? undefined : Math.min(...ttls), notes }
  }

  async #resolve(hosts: readonly string[], notes: string[], signal: AbortSignal): Promise<Map<string, Found>> {
    const before = this.#targets
    // Those that are no target any more are forgotten.
    this.#targets = new Map(
      hosts.map((host) => [
        host,
        before.get(host) ?? { name: new NameOfAddresses(host, this.#settings, this.#questions), last: undefined },
      ]),
    )
    const found = new Map<string, Found>()
    const waiting = hosts.values()
    // Each question listens for the end; Node takes more than ten for a leak.
    setMaxListeners(4 * AT_ONCE, signal)
    const failures: string[] = []
    const work = async (): Promise<void> => {
      for (const host of waiting) {
        const outcome = await this.#addressesOf(host, signal)
        if (typeof outcome === 'string') failures.push(outcome)
        const usable = typeof outcome === 'string' ? this.#targets.get(host)?.last : outcome
        if (usable === undefined) continue
        found.set(host, usable)
        notes.push(...usable.notes)
      }
    }
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, hosts.length) }, work))
    if (failures.length > 0)
      notes.push(`${failures.length} of ${hosts.length} targets could not be looked up: ${failures.sort()[0]}`)
    // In the order of the answers that happened to come first they would differ each time.
    notes.sort()
    return found
  }

  // Or why there are none.
  async #addressesOf(host: string, signal: AbortSignal): Promise<Found | string> {
    const family = isIP(host)
    // RFC 2782 forbids it, and it is seen.
    if (family !== 0)
      return {
        type: 'found',
        v4: family === 4 ? [host] : [],
        v6: family === 6 ? [host] : [],
        ttlMs: undefined,
        notes: [],
      }
    const target = this.#targets.get(host)
    if (target === undefined) return `${host} is unknown`
    try {
      const addresses = await target.name.ask(signal)
      if (addresses.type === 'none') {
        // The zone contradicts itself: nothing that is said about it can be more right.
        target.last = undefined
        return `${host} has no address`
      }
      target.last = addresses
      return addresses
    } catch (error) {
      signal.throwIfAborted()
      return error instanceof Error ? error.message : String(error)
    }
  }
}

function isRoot(name: unknown): boolean {
  return name === '' || name === '.'
}

function readTarget(record: DnsService): Target | undefined {
  const { name, priority, weight } = record ?? {}
  const host = readHost(name)?.replace(/\.$/, '').toLowerCase()
  const port = readPort(record?.port)
  if (host === undefined || host === '' || port === undefined || !is16Bit(priority) || !is16Bit(weight))
    return undefined
  return { host, port, priority, weight }
}

function is16Bit(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 65_535
}

function endpointsOf(
  targets: readonly Target[],
  found: ReadonlyMap<string, Found>,
  shared: Pick<Endpoint, 'hostname' | 'secure'>,
): readonly Endpoint[] {
  // Weights of 0 everywhere mean that the weights say nothing; among others they mean "hardly ever" (RFC 2782, Weight).
  const weighed = new Set(targets.filter((each) => each.weight > 0).map((each) => each.priority))
  const byId = new Map<string, Endpoint>()
  const inOrder = [...targets].sort((a, b) => a.priority - b.priority || compare(a.host, b.host) || a.port - b.port)
  for (const { host, port, priority, weight } of inOrder) {
    const addresses = found.get(host)
    if (addresses === undefined) continue
    const instances = instancesOf(addresses.v4, addresses.v6)
    for (const instance of instances) {
      const id = endpointId(instance[0], port)
      // The same one twice: its best priority counts.
      if (byId.has(id)) continue
      byId.set(id, {
        id,
        addresses: instance.map((each) => ({ host: each, port })),
        ...shared,
        ...(priority === 0 ? {} : { priority }),
        // A target is one record however many addresses it has: they share its weight.
        ...(weighed.has(priority) ? { weight: weight / instances.length } : {}),
      })
    }
  }
  return [...byId.values()]
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
