// A case of the suite for sources, and what cases cannot do without, each reason in one wording.
import { type LabCase, type LabNeed, labCase } from '../suite-runner.ts'
import type { SourceDesk } from './desk.ts'
import type { EndpointState, RegistryFaults, RegistryStart, RegistryTraits, SourceLab } from './types.ts'

/** One check of the contract of sources. */
export type SourceCase = LabCase<SourceLab, SourceDesk>

/** Something a case cannot do without. */
export type SourceNeed = LabNeed<SourceLab>

/** One case. */
export const sourceCase: (
  name: string,
  run: (desk: SourceDesk) => Promise<void>,
  needs?: readonly SourceNeed[] | undefined,
  timeoutMs?: number | undefined,
) => SourceCase = labCase

interface Troubled {
  readonly traits: RegistryTraits
  readonly faults?: RegistryFaults | undefined
}

const WORDS = {
  kill: 'the lab cannot kill its registry',
  pause: 'the lab cannot pause its registry',
  freeze: 'the lab cannot freeze connections',
  cut: 'the lab cannot cut connections',
  slow: 'the lab cannot slow its registry',
  garble: 'the lab cannot make answers unreadable',
} as const

/** A fault that the lab can bring about. */
export const fault =
  (name: keyof typeof WORDS) =>
  ({ faults }: Troubled): string | undefined =>
    faults?.[name] === undefined ? WORDS[name] : undefined

/** A registry that can be started again like that. */
export const startsAs =
  (start: RegistryStart) =>
  ({ faults }: Troubled): string | undefined => {
    if (faults?.kill === undefined) return WORDS.kill
    const starts = faults.starts ?? ['kept']
    return starts.includes(start) ? undefined : `the lab cannot start its registry as ${start}`
  }

const EXPRESSIONS = {
  weights: 'weights',
  priorities: 'priorities',
  zones: 'zones',
  metadata: 'metadata',
  namedPorts: 'named ports',
} as const

/** Something that the registry can express. */
export const expresses =
  (name: keyof typeof EXPRESSIONS) =>
  ({ traits }: Troubled): string | undefined =>
    traits[name] === true ? undefined : `the registry has no ${EXPRESSIONS[name]}`

/** A state that the registry can hold, besides `ready`. */
export const holds =
  (...states: readonly EndpointState[]) =>
  ({ traits }: Troubled): string | undefined =>
    states.some((state) => traits.states?.includes(state) === true)
      ? undefined
      : `the registry does not know ${states.join(', ')}`

/** What is open can be counted. */
export const counted = ({ openThings, timers }: Pick<SourceLab, 'openThings' | 'timers'>): string | undefined =>
  openThings === undefined && timers === undefined ? 'the lab counts neither connections nor timers' : undefined

/** Questions are counted. */
export const asked: SourceNeed = ({ questions }) =>
  questions === undefined ? 'the lab counts no questions' : undefined

/** Ids are those that were announced. */
export const givenIds: SourceNeed = ({ traits }) =>
  traits.ids === 'address' ? 'ids are made of addresses here' : undefined

/** Each endpoint has a port of its own. */
export const ownPorts: SourceNeed = ({ traits }) => (traits.ports === false ? 'the registry has no ports' : undefined)

/** Something has to be asked for. */
export const refreshes: SourceNeed = ({ traits }) =>
  traits.refreshes === false ? 'whatever changes is pushed: there is nothing to refresh' : undefined
