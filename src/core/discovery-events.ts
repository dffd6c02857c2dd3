// What happens to the knowledge of a service and its endpoints, as typed events; on the same listener and channel as those of calls.

/** Which service an event is about, and which source told it. */
export interface DiscoveryFacts {
  readonly service: string
  readonly source: string
}

/** Everything that a discovery tells. Durations are milliseconds. */
export type DiscoveryEvent =
  /** Who there is has changed. Ids. */
  | (DiscoveryFacts & {
      readonly type: 'endpoints-changed'
      readonly endpoints: number
      readonly added: readonly string[]
      readonly removed: readonly string[]
      readonly note?: string
    })
  /** The source failed; what was known stays in force. `ageMs`: how old that is, absent when nothing was known. */
  | (DiscoveryFacts & { readonly type: 'source-failed'; readonly error: unknown; readonly ageMs?: number })
  /** The source answers again. */
  | (DiscoveryFacts & { readonly type: 'source-recovered'; readonly ageMs: number })
  /** Most of the endpoints are gone at once: the old ones are held for a while (`held`), until they come back (`returned`) or the loss is believed (`believed`). */
  | (DiscoveryFacts & {
      readonly type: 'mass-loss'
      readonly step: 'held' | 'returned' | 'believed'
      readonly known: number
      readonly left: number
      readonly graceMs?: number
    })
  /** Entries that cannot be used were left out: no address, refused by the allow rule, too many. */
  | (DiscoveryFacts & {
      readonly type: 'endpoints-refused'
      readonly count: number
      readonly reasons: readonly string[]
    })
  | (DiscoveryFacts & {
      readonly type: 'endpoint-ejected'
      readonly endpoint: string
      readonly reason: 'consecutive' | 'success-rate'
      readonly forMs: number
    })
  /** Its time is over and a probe went well. */
  | (DiscoveryFacts & { readonly type: 'endpoint-returned'; readonly endpoint: string })
  /** `update` of a balancer of your own threw. Calls still go to whoever is there, as far as it names them. */
  | (DiscoveryFacts & { readonly type: 'balancer-failed'; readonly error: unknown })
  /** `on`: too few are healthy, so ejection is ignored. */
  | (DiscoveryFacts & {
      readonly type: 'panic'
      readonly step: 'on' | 'off'
      readonly healthy: number
      readonly endpoints: number
    })

/** What a registration tells. */
export type RegistrationEvent = {
  readonly service: string
  readonly registrar: string
  readonly endpoint: string
} & (
  | { readonly type: 'registered' | 'deregistered' | 'registered-again' }
  | { readonly type: 'registration-failed' | 'heartbeat-failed' | 'registration-lost'; readonly error: unknown }
  | { readonly type: 'health-changed'; readonly healthy: boolean }
)
