// What discovery asks of a registry: who is alive, and how to announce oneself.

export interface Endpoint {
  /** Survives a refresh: the registry's instance id, a pod uid, or host:port. */
  readonly id: string
  readonly addresses: readonly { readonly host: string; readonly port: number }[]
  readonly ports?: Readonly<Record<string, number>>
  /** Logical name, for Host and SNI. */
  readonly hostname?: string
  readonly secure?: boolean
  readonly weight?: number
  readonly priority?: number
  readonly zone?: string
  readonly state?: 'ready' | 'starting' | 'draining' | 'down'
  readonly metadata?: Readonly<Record<string, string>>
}

export type SourceUpdate =
  | { readonly type: 'snapshot'; readonly endpoints: readonly Endpoint[]; readonly ttlMs?: number }
  | { readonly type: 'absent' }
  | { readonly type: 'error'; readonly error: unknown }

export interface Source {
  readonly name: string
  watch(service: string, sink: (update: SourceUpdate) => void): SourceWatch
}
export interface SourceWatch {
  refresh(): void
  close(): Promise<void>
}

/** Announces an endpoint: the other half of a registry. */
export interface Registrar {
  readonly name: string
  register(
    service: string,
    endpoint: Endpoint,
    options: { readonly ttlMs?: number; readonly health?: () => Promise<boolean> },
  ): Promise<Registration>
}
export interface Registration {
  setState(state: 'starting' | 'ready' | 'draining' | 'down'): Promise<void>
  /** Lease lost for good, or another process announced itself under the same id. */
  onLost(listener: (reason: unknown) => void): () => void
  deregister(): Promise<void>
}
