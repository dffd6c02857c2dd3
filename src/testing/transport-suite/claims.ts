// What a descriptor promises, line by line, as claims that cases prove. The compiler asks for a row for every line that joins the descriptor.
import type { TransportCapabilities } from '../../core/contracts/transport.ts'

type Claims = { readonly [K in keyof TransportCapabilities]: (value: TransportCapabilities[K]) => readonly string[] }

// A value that promises less than nothing was said is no claim: `order: 'none'`, `persistent: false`.
const flag =
  (name: string) =>
  (value: boolean): readonly string[] =>
    value ? [name] : []
const word =
  (name: string, ...nothing: readonly string[]) =>
  (value: string): readonly string[] =>
    nothing.includes(value) ? [] : [`${name}=${value}`]
const description = (): readonly string[] => []

const claims: Claims = {
  modes: (modes) => modes.map((mode) => `mode=${mode}`),
  order: word('order', 'none'),
  delivery: word('delivery', 'at-most-once'),
  persistent: flag('persistent'),
  durableSubscriptions: flag('durableSubscriptions'),
  acknowledged: word('acknowledged'),
  competingConsumers: flag('competingConsumers'),
  dedupeWindowMs: (ms) => (ms > 0 ? ['dedupe'] : []),
  redeliveryCount: word('redeliveryCount', 'none'),
  delay: word('delay', 'none'),
  // Without a bound there is nothing to refuse; `delay` says whether it can at all.
  maxDelayMs: (ms) => (ms > 0 && Number.isFinite(ms) ? ['maxDelayMs'] : []),
  extend: flag('extend'),
  nack: word('nack', 'none'),
  priority: flag('priority'),
  replay: flag('replay'),
  temporary: flag('temporary'),
  deadLetters: word('deadLetters', 'none'),
  unroutable: word('unroutable', 'silent'),
  waiting: word('waiting', 'leased'),
  maxPayloadBytes: (bytes) => (Number.isFinite(bytes) ? ['maxPayloadBytes'] : []),
  // Figures and names: the first is the benchmark's matter, the others describe.
  latency: description,
  scaleUnit: description,
  protocols: description,
}

/** The lines that a descriptor has. */
export const descriptorLines: readonly string[] = Object.freeze(Object.keys(claims))

/** All that a descriptor promises, as the claims that cases of the suite name in `proves`. */
export function claimsOf(capabilities: TransportCapabilities): readonly string[] {
  return (Object.keys(claims) as (keyof TransportCapabilities)[]).flatMap((line) =>
    (claims[line] as (value: unknown) => readonly string[])(capabilities[line]),
  )
}
