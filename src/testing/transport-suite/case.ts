// A case of the suite as data: what it is called, what it proves, when it is left out, what it does.
import type { TransportCapabilities } from '../../core/contracts/transport.ts'
import type { Mode, TransportLab } from './lab.ts'
import type { Workbench } from './workbench.ts'

/** One check of the contract. */
export interface TransportCase {
  /** A sentence about the transport; unique. */
  readonly name: string
  /** Claims of the descriptor that hold if this passes; see `claimsOf`. */
  readonly proves: readonly string[]
  /** Real milliseconds; a case that takes longer has failed. Absent: the default of the run. */
  readonly timeoutMs?: number | undefined
  /** Why this is no case for such a transport in such a lab; undefined: it is one. */
  skip(capabilities: TransportCapabilities, lab: TransportLab): string | undefined
  /** Throws what is wrong. */
  run(bench: Workbench): Promise<void>
}

/** Something a case cannot do without: the reason why it is left out, or undefined where it is there. */
export type Need = (capabilities: TransportCapabilities, lab: TransportLab, mode: Mode) => string | undefined

/** What is said of a case besides its name. */
export interface CaseFacts {
  readonly proves?: readonly string[] | undefined
  readonly needs?: readonly Need[] | undefined
  readonly timeoutMs?: number | undefined
}

/** One case, in the first mode that the transport has (the one preferred, where it has that). */
export function oneCase(
  name: string,
  facts: CaseFacts,
  run: (bench: Workbench, mode: Mode) => Promise<void>,
  prefer: Mode = 'queue',
): TransportCase {
  const modeOf = ({ modes }: TransportCapabilities): Mode => (modes.includes(prefer) ? prefer : (modes[0] ?? prefer))
  return {
    name,
    proves: facts.proves ?? [],
    timeoutMs: facts.timeoutMs,
    skip: (capabilities, lab) => firstUnmet(facts.needs, capabilities, lab, modeOf(capabilities)),
    run: (bench) => run(bench, modeOf(bench.capabilities)),
  }
}

/** A case for queues and the same for topics. */
export function inEachMode(
  name: string,
  facts: CaseFacts,
  run: (bench: Workbench, mode: Mode) => Promise<void>,
): readonly TransportCase[] {
  return [onQueues(name, facts, (bench) => run(bench, 'queue')), onTopics(name, facts, (bench) => run(bench, 'topic'))]
}

/** A case for queues. */
export function onQueues(name: string, facts: CaseFacts, run: (bench: Workbench) => Promise<void>): TransportCase {
  return inMode('queue', name, facts, run)
}

/** A case for topics. */
export function onTopics(name: string, facts: CaseFacts, run: (bench: Workbench) => Promise<void>): TransportCase {
  return inMode('topic', name, facts, run)
}

function inMode(mode: Mode, name: string, facts: CaseFacts, run: (bench: Workbench) => Promise<void>): TransportCase {
  return {
    name: `${mode}: ${name}`,
    proves: facts.proves ?? [],
    timeoutMs: facts.timeoutMs,
    skip: (capabilities, lab) =>
      capabilities.modes.includes(mode) ? firstUnmet(facts.needs, capabilities, lab, mode) : `it has no ${mode}s`,
    run,
  }
}

function firstUnmet(
  needs: readonly Need[] | undefined,
  capabilities: TransportCapabilities,
  lab: TransportLab,
  mode: Mode,
): string | undefined {
  for (const need of needs ?? []) {
    const reason = need(capabilities, lab, mode)
    if (reason !== undefined) return reason
  }
  return undefined
}
