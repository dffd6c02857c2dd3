// A million messages that wait, and a consumer that is slow: memory stays within bounds.
import { join } from 'node:path'
import { type Line, line, short } from '../lines.ts'
import type { Place } from '../place.ts'
import { startWorker } from '../worker.ts'

/** Workers of this part, for `place`. */
export const WAITING_WORKERS: Readonly<Record<string, string>> = { waiting: 'test/bench/messaging/waiting.worker.ts' }

interface Answer {
  readonly publishedBytes: number
  readonly bareBytes: number
  readonly residentBytes: number
  readonly heldMost: number
  readonly leftWaiting: number
  readonly afterBytes: number
  readonly seconds: number
}

/** What was measured. */
export interface WaitingReport {
  readonly lines: readonly Line[]
  readonly messages: number
  readonly answers: readonly Answer[]
}

const MESSAGES = 1_000_000
const PREFETCH = 20

/** Measures and prints. */
export async function benchWaiting(where: Place, quick: boolean): Promise<WaitingReport> {
  const part = `waiting, ${where.version}`
  const answers: Answer[] = []
  for (let run = 0; run < (quick ? 1 : 2); run++) {
    const worker = await startWorker<object, Answer>('waiting', {
      file: join(where.folder, 'waiting.js'),
      node: where.node,
      args: [],
      // A bound that does not hold ends the process.
      flags: ['--expose-gc', '--max-old-space-size=2048'],
    })
    try {
      answers.push(await worker.ask({ messages: MESSAGES, prefetch: PREFETCH }))
    } finally {
      await worker.stop()
    }
  }
  const all = (what: keyof Answer): readonly number[] => answers.map((answer) => answer[what])
  const [first] = answers as [Answer]
  console.log(
    `\n${part}: ${MESSAGES.toLocaleString('en')} messages with a body of 100 bytes take ${short(first.publishedBytes)} bytes each (${short(first.residentBytes)} of resident memory; ` +
      `as buffers in an array ${short(first.bareBytes)}); a consumer whose handlers do not end holds ${first.heldMost} of them; when all are handled ${short(first.afterBytes)} bytes each are left`,
  )
  return {
    messages: MESSAGES,
    answers,
    lines: [
      line(
        part,
        'KiB of memory each, 1,000,000 messages',
        'at most',
        1,
        all('publishedBytes').map((bytes) => bytes / 1_024),
      ),
      line(
        part,
        `held by a slow consumer / prefetch of ${PREFETCH}`,
        'at most',
        1,
        all('heldMost').map((held) => held / PREFETCH),
      ),
      line(
        part,
        'left when all are handled / while they wait',
        'at most',
        0.05,
        answers.map(({ afterBytes, publishedBytes }) => afterBytes / publishedBytes),
      ),
    ],
  }
}
