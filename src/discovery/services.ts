// The services that are watched, by name. Names may come from outside: a million of them must not become a million watches.
import type { ServiceResolver } from './resolver.ts'

// Looks at a few of those that wait the longest: a search through all of them would cost more than it saves.
const LOOK_AT = 64

/** A bounded set of watched services. */
export class Services {
  private readonly max: number
  private readonly make: (service: string) => ServiceResolver
  private readonly all: Map<string, ServiceResolver>
  private readonly ending: Set<Promise<void>>

  constructor(max: number, make: (service: string) => ServiceResolver) {
    this.max = max
    this.make = make
    this.all = new Map()
    this.ending = new Set()
  }

  /** The one of that name; made, and another one let go, where it is not watched. */
  get(service: string): ServiceResolver {
    const known = this.all.get(service)
    if (known !== undefined) return known
    const made = this.make(service)
    if (this.all.size >= this.max) this.letOneGo()
    this.all.set(service, made)
    return made
  }

  /** The one of that name where it is watched. */
  peek(service: string): ServiceResolver | undefined {
    return this.all.get(service)
  }

  values(): Iterable<ServiceResolver> {
    return this.all.values()
  }

  /** Settles once every watch is closed, of those that were let go before too. */
  async end(): Promise<void> {
    await Promise.allSettled([...this.ending, ...[...this.all.values()].map((each) => each.end())])
  }

  // Rather one without endpoints, else the one whose last call is the longest ago. Any may go: who still holds a resolver of it finds it made anew.
  private letOneGo(): void {
    const looked: ServiceResolver[] = []
    let found: ServiceResolver | undefined
    for (const each of this.all.values()) {
      looked.push(each)
      if (found === undefined || !each.populated || each.lastUse < found.lastUse) found = each
      if (!found.populated || looked.length >= LOOK_AT) break
    }
    // To the back with them: the next search has to look at others.
    for (const each of looked) {
      this.all.delete(each.service)
      if (each !== found) this.all.set(each.service, each)
    }
    if (found === undefined) return
    const ending = found.letGo(this.max).catch(() => {})
    this.ending.add(ending)
    void ending.then(() => this.ending.delete(ending))
  }
}
