// The faults of a run, drawn from its seed: each kind at least once, in an order of chance.
import { seededRandom } from '../../../src/testing/seeded-random.ts'

export const FAULTS = [
  'kill a relay',
  'kill a consumer',
  'kill a producer',
  'kill a relay between publish and mark',
  'kill a consumer between commit and ack',
  'stop a relay before its mark until its lease is over',
  'stop a consumer before its ack until its lease is over',
  'stop a consumer in a handler until its lease is over',
  'restart the database',
  'restart the database as by a power cut',
  'restart the broker',
  'kill the broker',
  'cut all connections',
  'swallow what connections carry',
  'slow connections down',
] as const

export type FaultName = (typeof FAULTS)[number]

export interface PlannedFault {
  readonly fault: FaultName
  /** For choices: which process, which way, how long. */
  readonly chance: number
}

/** @param network whether there are proxies to break; @param broker whether there is a broker */
export function drawPlan(
  seed: number,
  count: number,
  network: boolean,
  broker: boolean,
  only: string = '',
): readonly PlannedFault[] {
  const random = seededRandom(seed)
  const kinds = FAULTS.filter(
    (fault) =>
      (network || !fault.includes('connections')) && (broker || !fault.includes('the broker')) && fault.includes(only),
  )
  const plan: PlannedFault[] = []
  while (plan.length < count) {
    const left = [...kinds]
    while (left.length > 0 && plan.length < count)
      plan.push({ fault: left.splice(Math.floor(random() * left.length), 1)[0] as FaultName, chance: random() })
  }
  return plan
}
