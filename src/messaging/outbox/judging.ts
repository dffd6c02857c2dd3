// What becomes of the messages of one send. A failure is held against a message only where others of its channel got through: else it is the channel that is away, or the transport.
import type { PendingRow, RowVerdict } from '../../core/contracts/store.ts'
import type { FairleadError } from '../../errors/base.ts'
import { withFields } from '../../errors/classes.ts'
import { classify } from '../../errors/classify.ts'
import { aheadOf, type Fault, faultOf, isAnswer, reasonOf } from './faults.ts'
import type { RelaySettings } from './relay-options.ts'
import { grown } from './waits.ts'

/** However long a peer asks for: one wrong date must not put a message off for years. */
const LONGEST_ASKED_MS = 3_600_000

/** One message that was not accepted. */
export interface Failure {
  readonly row: PendingRow
  readonly error: unknown
}

interface Judged {
  readonly row: PendingRow
  readonly error: FairleadError
  readonly fault: Fault
}

/** What was found. */
export interface Judgement {
  readonly verdicts: readonly {
    readonly row: PendingRow
    readonly verdict: RowVerdict
    readonly error: FairleadError
  }[]
  /** Nothing is known of these: they stay in the table as they are, and are read again. */
  readonly left: readonly PendingRow[]
  /** These got nowhere because the channel, or the transport, is away. */
  readonly stranded: readonly PendingRow[]
  /** Somebody at the other end was there. */
  readonly alive: boolean
  /** Nothing got through: why. */
  readonly away: FairleadError | undefined
}

/** What is known besides the failures. */
export interface Circumstances {
  /** Of the same send, or of another of its channel since it began. */
  readonly others: boolean
  /** An outage is on already, and these were tried to see whether it is over. */
  readonly probe: boolean
  /** A message that failed before while others got through may fail alone once more and still be the one at fault. */
  readonly vouched: boolean
}

/** Judges the failures of one send, in the order of the rows. */
export function judge(failures: readonly Failure[], known: Circumstances, settings: RelaySettings): Judgement {
  const verdicts: { row: PendingRow; verdict: RowVerdict; error: FairleadError }[] = []
  const left: PendingRow[] = []
  const stranded: PendingRow[] = []
  const judged: Judged[] = []
  const failedKeys = new Set<string>()
  let ids: ReadonlySet<string> | undefined
  let alive = known.others
  for (const { row, error } of failures) {
    const asError = errorOf(error, row, settings)
    const fault = faultOf(asError)
    const { key } = row.envelope
    if (fault === 'done')
      verdicts.push({ row, verdict: { sequence: row.sequence, verdict: 'published' }, error: asError })
    if (fault === 'done' || isAnswer(asError)) alive = true
    if (fault === 'done') continue
    // It was not sent, or must not count as sent, before the one in front of it: that one comes first again.
    if (key !== undefined && failedKeys.has(key)) left.push(row)
    else {
      if (key !== undefined) failedKeys.add(key)
      const ahead = aheadOf(asError)
      // Some transports keep the order of a whole channel.
      if (ahead !== undefined && (ids ??= idsOf(failures)).has(ahead)) left.push(row)
      else judged.push({ row, error: asError, fault })
    }
  }
  const passing = judged.filter(({ fault }) => fault === 'passing' || fault === 'ours')
  const away = !alive && isAway(passing, known) ? passing[0]?.error : undefined
  for (const each of judged) {
    const { row, fault, error } = each
    if (fault === 'message') verdicts.push({ row, error, verdict: dead(row, reasonOf(error), settings) })
    else if (fault === 'ours') left.push(row)
    else if (fault === 'passing' && away !== undefined) stranded.push(row)
    else verdicts.push({ row, error, verdict: again(each, alive || known.vouched, settings) })
  }
  return { verdicts, left, stranded, alive, away }
}

function idsOf(failures: readonly Failure[]): ReadonlySet<string> {
  return new Set(failures.map(({ row }) => row.envelope.id))
}

function isAway(passing: readonly Judged[], { probe, vouched }: Circumstances): boolean {
  return passing.length > 0 && (probe || !vouched || passing.some(({ row }) => row.attempts === 0))
}

function again({ row, error }: Judged, proven: boolean, settings: RelaySettings): RowVerdict {
  const { maxAttempts, backoff, world } = settings
  const attempts = row.attempts + 1
  if (proven && attempts >= maxAttempts) return dead(row, reasonOf(error, `after ${attempts} attempts: `), settings)
  const waitMs = Math.max(
    grown(backoff, row.attempts, world.random),
    Math.min(error.retryAfterMs ?? 0, LONGEST_ASKED_MS),
  )
  const verdict = {
    sequence: row.sequence,
    verdict: 'retry',
    delayMs: Math.ceil(waitMs),
    reason: reasonOf(error),
  } as const
  return proven ? verdict : { ...verdict, counts: false }
}

function dead(row: PendingRow, reason: string, { onDead }: RelaySettings): RowVerdict {
  const blocksKey = onDead === 'block-key' && row.envelope.key !== undefined
  return { sequence: row.sequence, verdict: 'dead', reason, blocksKey }
}

function errorOf(error: unknown, row: PendingRow, { transport }: RelaySettings): FairleadError {
  return withFields(classify(error, { aborted: undefined }), {
    service: row.channel.name,
    operation: 'publish',
    transport: transport.name,
    channel: row.channel.name,
    idempotent: true,
    attempt: row.attempts + 1,
  })
}
