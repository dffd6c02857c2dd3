// A source over a table, on a clock that the test moves, and all that it has told.
import { type DnsSourceOptions, dnsSource } from '../../../src/adapters/dns/index.ts'
import type { Source, SourceUpdate, SourceWatch } from '../../../src/core/contracts/source.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { type Zone, zone } from './zone.ts'

export interface Watching {
  readonly zone: Zone
  readonly clock: FakeClock
  readonly source: Source
  readonly told: SourceUpdate[]
  readonly watch: SourceWatch
  last(): SourceUpdate | undefined
  /** Ids, or what else was told; errors without their code. */
  who(): readonly string[] | string
  note(): string | undefined
}

/** `fill` says what is in DNS before the first question. */
export const watching = async (
  service: string,
  options: DnsSourceOptions,
  fill: (zone: Zone) => void,
): Promise<Watching> => {
  const table = zone()
  fill(table)
  const clock = fakeClock()
  const source = dnsSource({ resolver: table, clock, random: seededRandom(7), ...options })
  const told: SourceUpdate[] = []
  const watch = source.watch(service, (update) => void told.push(update))
  await clock.advance(0)
  const last = (): SourceUpdate | undefined => told.at(-1)
  return {
    zone: table,
    clock,
    source,
    told,
    watch,
    last,
    who() {
      const update = last()
      if (update === undefined) return 'nothing'
      if (update.type === 'error') return `error: ${(update.error as Error).message.replace(/\[[A-Z_]+\] /g, '')}`
      return update.type === 'absent' ? 'absent' : update.endpoints.map((each) => each.id)
    },
    note() {
      const update = last()
      return update?.type === 'snapshot' ? update.note?.replace(/\[[A-Z_]+\] /g, '') : undefined
    },
  }
}
