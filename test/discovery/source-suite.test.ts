// The suite of sources over the static source, alone and composed with others: who composes must not break a rule.
import { describe, test } from 'vitest'
import type { Endpoint, Source } from '../../src/core/contracts/source.ts'
import { fallbackSources, prioritySources, unionSources } from '../../src/discovery/compose.ts'
import { staticSource } from '../../src/discovery/static-source.ts'
import { type FakeClock, fakeClock } from '../../src/testing/fake-clock.ts'
import { type SourceLab, testSource } from '../../src/testing/source-suite/index.ts'

interface Composition {
  readonly parts: number
  readonly make: (...parts: readonly Source[]) => Source
  /** Which part says the n-th endpoint of a list. */
  readonly part: (index: number) => number
  readonly priorities?: boolean
}

// What an author of a real registry would see: its last word goes to all watches, and a death is an error.
function lab({ parts, make, part, priorities }: Composition): SourceLab {
  const clock: FakeClock = fakeClock()
  const registries = Array.from({ length: parts }, () => staticSource({}))
  return {
    traits: {
      states: ['starting', 'ready', 'draining', 'down'],
      weights: true,
      priorities: priorities !== false,
      zones: true,
      metadata: true,
      namedPorts: true,
      unknown: 'absent',
      emptied: 'empty',
      refreshes: false,
      seesChangeWithinMs: 10,
    },
    clock,
    pass: (ms) => clock.advance(ms),
    timers: () => clock.pending,
    source: () => make(...registries),
    async announce(service, endpoints) {
      const lists = registries.map((): Endpoint[] => [])
      for (const [index, endpoint] of endpoints.entries()) lists[part(index)]?.push(endpoint)
      for (const [index, list] of lists.entries()) registries[index]?.set(service, list)
    },
  }
}

const split = (index: number): number => index % 2

await testSource('static', () => lab({ parts: 1, make: (only) => only as Source, part: () => 0 }), { describe, test })
await testSource('union', () => lab({ parts: 2, make: unionSources, part: split }), { describe, test })
await testSource(
  'union of unions',
  () =>
    lab({ parts: 2, make: (a, b) => unionSources(unionSources(a as Source), unionSources(b as Source)), part: split }),
  { describe, test },
)
await testSource('priority', () => lab({ parts: 2, make: prioritySources, part: split, priorities: false }), {
  describe,
  test,
})
await testSource('fallback', () => lab({ parts: 2, make: fallbackSources, part: () => 1 }), { describe, test })
