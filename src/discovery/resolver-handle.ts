// What proxies hold. The shared state behind it may be let go when too many services are asked for; it is then made anew.
import type { Resolver } from '../core/contracts/balancer.ts'
import type { Endpoint } from '../core/contracts/source.ts'
import { closedError, type ServiceResolver } from './resolver.ts'

interface Listening {
  readonly listener: (endpoint: Endpoint) => void
  stop: (() => void) | undefined
}

/** One holder's resolver of a service. */
export class ResolverHandle implements Resolver {
  readonly service: string
  private shared: ServiceResolver | undefined
  private closed: boolean
  private readonly find: (service: string) => ServiceResolver
  private readonly listening: Set<Listening>

  constructor(service: string, find: (service: string) => ServiceResolver) {
    this.service = service
    this.shared = undefined
    this.closed = false
    this.find = find
    this.listening = new Set()
  }

  acquire(context?: Parameters<Resolver['acquire']>[0]): ReturnType<Resolver['acquire']> {
    return this.current().acquire(context)
  }

  untried(avoid: ReadonlySet<string>): number {
    return this.current().untried(avoid)
  }

  /** Listening starts no watch: it goes along with whatever is watched. */
  onRemoved(listener: (endpoint: Endpoint) => void): () => void {
    const listening: Listening = { listener, stop: undefined }
    if (this.closed) return () => {}
    this.listening.add(listening)
    if (this.shared?.ended === false) listening.stop = this.shared.onRemoved(listener)
    return () => {
      this.listening.delete(listening)
      listening.stop?.()
    }
  }

  refresh(): void {
    this.current().refresh()
  }

  async close(): Promise<void> {
    this.closed = true
    this.shared = undefined
    for (const { stop } of this.listening) stop?.()
    this.listening.clear()
  }

  private current(): ServiceResolver {
    const { shared } = this
    if (shared !== undefined && !shared.ended) return shared
    if (this.closed) throw closedError(this.service)
    const found = this.find(this.service)
    this.shared = found
    // What is still told by one that was let go (its last leases) is wanted as well: it is not asked to stop.
    for (const listening of this.listening) listening.stop = found.onRemoved(listening.listener)
    return found
  }
}
