// Sending: one call to the broker at a time for all that waits, so that a later record of a key never passes an earlier one that is tried again.
import { detached } from '../../core/async-context.ts'
import type { Timer } from '../../core/clock.ts'
import type { Deadline } from '../../core/deadline.ts'
import { behindWords } from '../../core/key-order.ts'
import { endsWithin } from '../../core/patience.ts'
import { createError, type FairleadError, stamp, withFields } from '../../errors/index.ts'
import { classifyKafka, isFatalForProducer } from './classify-kafka.ts'
import type { KafkaDriver, KafkaProducer, NewRecord } from './driver.ts'
import type { KafkaSettings } from './options.ts'
import { recordBytes } from './wire.ts'

/** A record and whose order it keeps. */
export interface Outgoing {
  readonly record: NewRecord
  /** Of the message, for the error of those behind it. */
  readonly id: string
  readonly key: string | undefined
}

// The largest batch of a partition that brokers take by default is 1 MiB with all that it adds.
const BATCH_BYTES = 900_000
const CALL_BYTES = 8_000_000
const CALL_RECORDS = 5_000
const CLOSE_WITHIN_MS = 2_500

interface Job {
  readonly channel: string
  readonly all: readonly Outgoing[]
  // null: written.
  readonly errors: (FairleadError | null | undefined)[]
  readonly resolve: (errors: readonly (FairleadError | undefined)[]) => void
  // How many of it have gone out, and how many are answered.
  sent: number
  answered: number
  failedKeys: Map<string, string> | undefined
  timer: Timer | undefined
  over: boolean
}

/** All sends of one transport. */
export class Sender {
  private readonly driver: KafkaDriver
  private readonly settings: KafkaSettings
  private queue: Job[] = []
  private readonly jobs = new Set<Job>()
  private producer: Promise<KafkaProducer> | undefined
  private running: Promise<void> | undefined
  private closed = false

  constructor(driver: KafkaDriver, settings: KafkaSettings) {
    this.driver = driver
    this.settings = settings
  }

  /** One answer per record, in order: undefined once it is written. Never rejects. */
  send(
    channel: string,
    all: readonly Outgoing[],
    deadline: Deadline | undefined,
  ): Promise<readonly (FairleadError | undefined)[]> {
    return new Promise((resolve) => {
      const job: Job = {
        channel,
        all,
        errors: [],
        resolve,
        sent: 0,
        answered: 0,
        failedKeys: undefined,
        timer: undefined,
        over: false,
      }
      if (this.closed) return this.giveUp(job, 'SHUTDOWN')
      const leftMs = deadline?.remainingMs() ?? Infinity
      if (leftMs < Infinity)
        job.timer = this.settings.clock.setTimer(
          (each: Job) => this.giveUp(each, 'DEADLINE_EXCEEDED'),
          Math.max(leftMs, 0),
          job,
        )
      this.jobs.add(job)
      this.queue.push(job)
      this.go()
    })
  }

  /** Ends the sends under way, each is answered, and closes the producer. */
  async close(): Promise<void> {
    this.closed = true
    const { clock } = this.settings
    await endsWithin(Promise.resolve(this.running), CLOSE_WITHIN_MS, clock).catch(() => {})
    for (const job of [...this.jobs]) this.giveUp(job, 'SHUTDOWN')
    await this.discard()
  }

  private go(): void {
    if (this.running !== undefined) return
    this.running = detached(() => this.run()).finally(() => {
      this.running = undefined
      if (this.queue.length > 0) this.go()
    })
  }

  private async run(): Promise<void> {
    // All that is sent in this turn of the event loop goes together.
    await Promise.resolve()
    while (this.queue.length > 0) {
      const parts = this.take()
      if (parts.length > 0) await this.produce(parts)
    }
  }

  // What goes with the next call, and of which jobs.
  private take(): { readonly job: Job; readonly at: number }[] {
    const parts: { job: Job; at: number }[] = []
    const perPartition = new Map<string, number>()
    let bytes = 0
    for (;;) {
      const job = this.queue[0]
      if (job === undefined) return parts
      if (job.over) {
        this.queue.shift()
        continue
      }
      while (job.sent < job.all.length) {
        const { record, key } = job.all[job.sent] as Outgoing
        const ahead = key === undefined ? undefined : job.failedKeys?.get(key)
        if (ahead !== undefined) {
          this.answer(job, job.sent++, behind(key as string, ahead))
          continue
        }
        const size = recordBytes(record)
        const partition = `${record.topic} ${record.partition}`
        const inPartition = (perPartition.get(partition) ?? 0) + size
        const full = inPartition > BATCH_BYTES || bytes + size > CALL_BYTES || parts.length >= CALL_RECORDS
        if (full && parts.length > 0) return parts
        perPartition.set(partition, inPartition)
        bytes += size
        parts.push({ job, at: job.sent++ })
      }
      this.queue.shift()
    }
  }

  private async produce(parts: readonly { readonly job: Job; readonly at: number }[]): Promise<void> {
    let errors: readonly (FairleadError | undefined)[]
    try {
      const producer = await this.connected()
      errors = await producer.produce(parts.map(({ job, at }) => (job.all[at] as Outgoing).record))
    } catch (error) {
      const failure = classifyKafka(error)
      errors = parts.map(() => failure)
    }
    if (errors.some((error) => error !== undefined && isFatalForProducer(error))) await this.discard()
    for (const [index, { job, at }] of parts.entries()) this.answer(job, at, errors[index])
  }

  private connected(): Promise<KafkaProducer> {
    this.producer ??= this.driver.producer()
    const mine = this.producer
    mine.catch(() => {
      if (this.producer === mine) this.producer = undefined
    })
    return mine.catch((error: unknown) => {
      const failure = classifyKafka(error, { phase: 'connect' })
      throw failure.effect === 'none' ? failure : withFields(failure, { effect: 'none' })
    })
  }

  private async discard(): Promise<void> {
    const { producer } = this
    this.producer = undefined
    await producer?.then((each) => each.close()).catch(() => {})
  }

  private answer(job: Job, at: number, error: FairleadError | undefined): void {
    if (job.over) return
    const { key, id } = job.all[at] as Outgoing
    if (error === undefined) job.errors[at] = null
    else {
      job.errors[at] = stamp(error, { transport: this.settings.name, channel: job.channel })
      if (key !== undefined && !job.failedKeys?.has(key)) (job.failedKeys ??= new Map()).set(key, id)
    }
    if (++job.answered === job.all.length) this.finish(job)
  }

  private giveUp(job: Job, code: 'DEADLINE_EXCEEDED' | 'SHUTDOWN'): void {
    if (job.over) return
    const { name } = this.settings
    for (let at = 0; at < job.all.length; at++) {
      if (job.errors[at] !== undefined) continue
      job.errors[at] = createError({
        code,
        effect: at < job.sent ? 'unknown' : 'none',
        transport: name,
        channel: job.channel,
      })
    }
    this.finish(job)
  }

  private finish(job: Job): void {
    job.over = true
    if (job.timer !== undefined) this.settings.clock.clearTimer(job.timer)
    this.jobs.delete(job)
    job.resolve(job.all.map((_, at) => job.errors[at] ?? undefined))
  }
}

function behind(key: string, ahead: string): FairleadError {
  return createError({ code: 'TOO_EARLY', message: behindWords(key, ahead), details: { ahead } })
}
