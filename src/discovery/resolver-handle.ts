// What proxies hold. The shared state behind it may be let go when too many services are asked for; it is then made anew.
import type { Resolver } from '../core/contracts/balancer.ts'
import type { Endpoint } from '../core/contracts/source.ts'
import { closedError, type ServiceResolver } from './resolver.ts'

interface Listening {
  readonly listener: (endpoint: Endpoint) => void
  stop: (() => void) | undefined
  stopped: boolean
}

/** One holder's resolver of a service. */
export class ResolverHandle implements Resolver {
  readonly service: string
  private shared: ServiceResolver | undefined
  private closed: boolean
  private readonly find: (service: string) => ServiceResolver
  private readonly peek: (service: string) => ServiceResolver | undefined
  private readonly listening: Set<Listening>

  /**
   * @param find the shared state of a service, made where there is none
   * @param peek the same where there is one
   */
  constructor(
    service: string,
    find: (service: string) => ServiceResolver,
    peek: (service: string) => ServiceResolver | undefined,
  ) {
    this.service = service
    this.shared = undefined
    this.closed = false
    this.find = find
    this.peek = peek
    this.listening = new Set()
  }

  acquire(context?: Parameters<Resolver['acquire']>[0]): ReturnType<Resolver['acquire']> {
    return this.current().acquire(context)
  }

  /** Never throws: it is asked in timers, and where another error is on its way to the caller. */
  untried(avoid: ReadonlySet<string>): number {
    const { shared } = this
    if (this.closed || shared?.ended === true) return 0
    try {
      return (shared ?? this.current()).untried(avoid)
    } catch {
      return 0
    }
  }

  /** Listening starts no watch: it goes along with whatever is watched. */
  onRemoved(listener: (endpoint: Endpoint) => void): () => void {
    const listening: Listening = { listener, stop: undefined, stopped: false }
    if (this.closed) return () => {}
    this.listening.add(listening)
    if (this.shared?.ended === false) this.listen(listening, this.shared)
    return () => {
      this.listening.delete(listening)
      stop(listening)
    }
  }

  refresh(): void {
    this.current().refresh()
  }

  async close(): Promise<void> {
    this.closed = true
    this.shared = undefined
    for (const listening of this.listening) stop(listening)
    this.listening.clear()
  }

  private current(): ServiceResolver {
    const { shared } = this
    if (shared !== undefined && !shared.ended) return shared
    if (this.closed) throw closedError(this.service)
    const found = this.find(this.service)
    this.shared = found
    // What is still told by one that was let go (its last leases) is wanted as well: it is not asked to stop.
    for (const listening of this.listening) this.listen(listening, found)
    return found
  }

  private listen(listening: Listening, to: ServiceResolver): void {
    listening.stop = to.onRemoved((endpoint) => {
      if (listening.stopped) return
      // Let go, made anew, and in use there: it will be told of when it leaves.
      const now = this.peek(this.service)
      if (now !== to && now?.ended === false && now.keeps(endpoint.id)) return
      listening.listener(endpoint)
    })
  }
}

function stop(listening: Listening): void {
  listening.stopped = true
  listening.stop?.()
}
