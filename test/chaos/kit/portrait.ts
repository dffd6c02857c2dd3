// What a Kafka transport holds at an instant, in one line a member: for a run that has come to a standstill. It looks behind the API, so whatever is missing is left out.
import type { MessageTransport } from '../../../src/core/contracts/transport.ts'

interface Insides {
  readonly places?: ReadonlyMap<string, Promise<PlaceInsides>> | undefined
}

interface PlaceInsides {
  readonly frozen: boolean
  readonly closed: boolean
  readonly retiring: boolean
  readonly epoch: number
  readonly held: ReadonlySet<unknown>
  readonly receivers: readonly {
    readonly credit: number
    readonly state: string
    readonly held: ReadonlySet<unknown>
  }[]
  readonly lanes: ReadonlyMap<string, LaneInsides>
  readonly commits: { readonly waiting: readonly unknown[]; readonly running: unknown; readonly failures: number }
  readonly member?: Readonly<Record<string, unknown>> | undefined
}

interface LaneInsides {
  readonly draining: boolean
  readonly paused: boolean
  readonly heldCount: number
  readonly buffered: number
  readonly ready: readonly unknown[]
  readonly tracker: { readonly base: number; readonly next: number; readonly dirty: boolean }
}

const words = (flags: Readonly<Record<string, unknown>>): string =>
  Object.entries(flags)
    .filter(([, value]) => value !== false && value !== undefined && value !== 0)
    .map(([name, value]) => (value === true ? name : `${name} ${String(value)}`))
    .join(', ')

const laneWords = ([key, lane]: readonly [string, LaneInsides]): string => {
  const { draining, paused, heldCount: held, buffered, ready, tracker } = lane
  const { base, next, dirty } = tracker
  return `[${key}: ${base} to ${next}, ${words({ held, buffered, ready: ready.length, draining, paused, dirty })}]`
}

const placeWords = (name: string, place: PlaceInsides): string => {
  const { frozen, closed, retiring, epoch, held, receivers, lanes, commits, member = {} } = place
  const { state, joins, rounds, wantsRebalance, balancing, giving, places } = member as Record<string, never>
  const assigned = [...((places ?? []) as Iterable<readonly [string, { readonly next: number | undefined }]>)]
  return [
    `${name}: ${words({ frozen, closed, retiring, epoch, held: held.size })}`,
    `commits ${words({ waiting: commits.waiting.length, 'under way': commits.running !== undefined, failures: commits.failures })}`,
    `member ${words({ state, joins, rounds, wantsRebalance, balancing, giving: (giving as { size: number } | undefined)?.size })}`,
    `assigned ${assigned.map(([key, { next }]) => `${key} at ${next}`).join(', ')}`,
    ...receivers.map((each) => `receiver ${words({ is: each.state, credit: each.credit, held: each.held.size })}`),
    ...[...lanes].map(laneWords),
  ].join('; ')
}

/** One line for each member. */
export async function portrait(transport: MessageTransport): Promise<readonly string[]> {
  const { places = new Map() } = transport as unknown as Insides
  const lines: string[] = []
  for (const [name, making] of places) {
    const later = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 100))
    const place = await Promise.race([making, later])
    lines.push(place === undefined ? `${name}: is being made` : placeWords(name, place))
  }
  return lines
}
