// The subpath `fairlead/dns`.
export type { DnsAddress, DnsLookup, DnsResolver, DnsService, DnsSourceOptions } from './options.ts'
export { dnsSource } from './source.ts'
