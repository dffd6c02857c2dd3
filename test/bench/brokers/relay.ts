// From the outbox to each broker: beside the two ends alone, which are the relay into a transport that accepts everything, and the transport with the same envelopes.
import { startKafka } from '../../services/kafka-instance.ts'
import { startRabbitmq } from '../../services/rabbitmq-instance.ts'
import { type Line, line, short, table } from '../lines.ts'
import { RELAY_WORKERS as OUTBOX_WORKERS } from '../outbox/relay.ts'
import type { DrainAnswer } from '../outbox/relay.worker.ts'
import { fillOutbox, KIB_TEXT, startSite } from '../outbox/site.ts'
import type { Place } from '../place.ts'
import { median, quotients, shuffler } from '../statistics.ts'
import { RABBITMQ_CONFIG } from './rabbitmq.ts'
import type { RelayAnswer } from './relay.worker.ts'

/** Workers of this part, for `place`. */
export const BROKER_RELAY_WORKERS: Readonly<Record<string, string>> = {
  ...OUTBOX_WORKERS,
  'broker-relay': 'test/bench/brokers/relay.worker.ts',
}

/** How fast a backlog goes. */
export interface BrokerRelayRow {
  readonly name: string
  readonly rounds: number
  readonly perSecond: number
  readonly cpuUs: number
  /** Messages of one send; of the relay into nothing they were not counted. */
  readonly each: number | undefined
}

/** What was measured. */
export interface BrokerRelayReport {
  readonly lines: readonly Line[]
  readonly rows: readonly BrokerRelayRow[]
}

type Outcome = Omit<RelayAnswer, 'each'> & { readonly each?: number }

const ALONE = 'relay, accepting'

/** Measures and prints. */
export async function benchBrokerRelay(where: Place, quick: boolean): Promise<BrokerRelayReport> {
  const messages = quick ? 20_000 : 100_000
  const stops: (() => Promise<void>)[] = []
  try {
    const site = await startSite(where)
    stops.push(() => site.close())
    const rabbitmq = await startRabbitmq({ config: RABBITMQ_CONFIG })
    stops.push(() => rabbitmq.remove())
    const kafka = await startKafka()
    stops.push(() => kafka.remove())
    const database = await site.database('bench_broker_relay')
    await database.migrate()
    const refill = async (): Promise<void> => {
      await database.run('truncate fairlead.outbox')
      await fillOutbox(database, messages, KIB_TEXT)
      await database.settle()
    }
    const relayed = async <Answer>(work: () => Promise<Answer>): Promise<Answer> => {
      await refill()
      const answer = await work()
      const left = await database.count('select count(*) n from fairlead.outbox')
      if (left !== 0) throw new Error(`${left} of ${messages} are left`)
      return answer
    }
    const alone = await site.worker<DrainAnswer>('relay', 'relay', database.url)
    const rounds = new Map<string, () => Promise<Outcome>>([
      [ALONE, () => relayed(() => alone.ask({ ask: 'drain', messages }))],
    ])
    const brokers = { rabbitmq: `amqp://guest:guest@127.0.0.1:${rabbitmq.port}`, kafka: kafka.brokers }
    for (const [name, address] of Object.entries(brokers)) {
      const worker = await site.worker<RelayAnswer>('broker-relay', name, database.url, [address])
      rounds.set(`send, ${name}`, () => worker.ask({ ask: 'send', messages }))
      rounds.set(`relay, ${name}`, () => relayed(() => worker.ask({ ask: 'relay', messages })))
    }
    const found = new Map<string, Outcome[]>([...rounds.keys()].map((name) => [name, []]))
    const shuffle = shuffler(rounds.size)
    for (let round = -1; round < (quick ? 3 : 5); round++)
      for (const [name, run] of shuffle([...rounds])) {
        const answer = await run()
        if (round >= 0) found.get(name)?.push(answer)
      }

    const rates = (name: string): readonly number[] => (found.get(name) ?? []).map(({ perSecond }) => perSecond)
    const rows = [...rounds.keys()].map(
      (name): BrokerRelayRow => ({
        name,
        rounds: rates(name).length,
        perSecond: median(rates(name)),
        cpuUs: median((found.get(name) ?? []).map(({ cpuUs }) => cpuUs)),
        each: found.get(name)?.[0]?.each,
      }),
    )
    console.log(
      `\n${site.name}: an outbox of ${messages.toLocaleString('en')} messages of 1 KiB to a broker, and the two ends alone`,
    )
    table(
      ['way', 'messages/s', 'CPU us/message', 'messages a send', 'rounds'],
      rows.map(({ name, perSecond, cpuUs, each, rounds: count }) => [
        name,
        perSecond.toFixed(0),
        short(cpuUs),
        each === undefined ? '' : short(each),
        String(count),
      ]),
    )
    const lines = Object.keys(brokers).map((name) => {
      const ends = [ALONE, `send, ${name}`] as const
      const slower = median(rates(ends[0])) <= median(rates(ends[1])) ? ends[0] : ends[1]
      return line(
        `relay, ${site.name}`,
        `messages/s: relay, ${name} / ${slower}`,
        'at least',
        0.8,
        quotients(rates(`relay, ${name}`), rates(slower)),
      )
    })
    return { lines, rows }
  } finally {
    for (const stop of stops.reverse()) await stop()
  }
}
