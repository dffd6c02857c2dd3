// DNS as a table: a resolver that answers from it, fails as it is told to, and counts what it was asked.
import type { DnsAddress, DnsResolver, DnsService } from '../../../src/adapters/dns/index.ts'

/** `NXDOMAIN`, `NODATA`, `SERVFAIL`, ... in the words of Node: ENOTFOUND, ENODATA, ESERVFAIL. `silent` never answers. */
export type Failure = 'ENOTFOUND' | 'ENODATA' | 'ESERVFAIL' | 'EREFUSED' | 'ETIMEOUT' | 'silent'
type Kind = 'A' | 'AAAA' | 'SRV'

export interface Zone extends DnsResolver {
  /** Records by `A name`, `AAAA name`, `SRV name`. A name that has any of them is NODATA for the rest, others are NXDOMAIN. */
  readonly records: Map<string, readonly unknown[] | Failure>
  /** What was asked, in order. */
  readonly asked: string[]
  a(name: string, addresses: readonly string[] | Failure, ttl?: number): void
  aaaa(name: string, addresses: readonly string[] | Failure, ttl?: number): void
  srv(
    name: string,
    records: readonly (readonly [priority: number, weight: number, port: number, target: string])[],
  ): void
  /** No record of the name at all. */
  drop(name: string): void
}

export const zone = (): Zone => {
  const records: Zone['records'] = new Map()
  const asked: string[] = []
  const answer = <T>(kind: Kind, name: string): Promise<readonly T[]> => {
    asked.push(`${kind} ${name}`)
    const known = records.get(`${kind} ${name}`)
    if (known === 'silent') return new Promise(() => {})
    if (typeof known === 'string') return failed(known, kind, name)
    if (known !== undefined) return Promise.resolve(known as readonly T[])
    const exists = ['A', 'AAAA', 'SRV'].some((each) => records.has(`${each} ${name}`))
    return failed(exists ? 'ENODATA' : 'ENOTFOUND', kind, name)
  }
  const put = (kind: Kind, name: string, given: readonly string[] | Failure, ttl: number): void => {
    records.set(`${kind} ${name}`, typeof given === 'string' ? given : given.map((address) => ({ address, ttl })))
  }
  return {
    records,
    asked,
    resolve4: (name) => answer<DnsAddress>('A', name),
    resolve6: (name) => answer<DnsAddress>('AAAA', name),
    resolveSrv: (name) => answer<DnsService>('SRV', name),
    a: (name, addresses, ttl = 5) => put('A', name, addresses, ttl),
    aaaa: (name, addresses, ttl = 5) => put('AAAA', name, addresses, ttl),
    srv(name, all) {
      records.set(
        `SRV ${name}`,
        all.map(([priority, weight, port, target]) => ({ name: target, port, priority, weight })),
      )
    },
    drop(name) {
      for (const kind of ['A', 'AAAA', 'SRV']) records.delete(`${kind} ${name}`)
    },
  }
}

const failed = (code: string, kind: Kind, name: string): Promise<never> =>
  Promise.reject(Object.assign(new Error(`query${kind} ${code} ${name}`), { code }))
