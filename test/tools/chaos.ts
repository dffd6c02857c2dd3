// `npm run chaos`: real processes on a real database under faults, or the simulation for as many schedules as one likes.
//   npm run chaos -- --minutes 10 --seed 7 --database postgres|pgbouncer|mariadb --transport rabbitmq|kafka --messages 100000
//   npm run chaos -- --broken id-cursor          a relay, store or consumer that is broken on purpose: it has to be caught, in a short run of its own
//   npm run chaos -- --simulate 20000 [--seed n] seeded schedules in virtual time; with a seed and 1, one of them again
import { parseArgs } from 'node:util'
import { caughtBy, isCaught } from '../chaos/kit/catches.ts'
import { type ChaosOptions, runChaos } from '../chaos/kit/run.ts'
import { BREAKAGES, BROKERS, type BreakageName, type BrokerName } from '../chaos/kit/words.ts'
import { catalogueOf, explore } from '../simulation/explore.ts'
import { mutants } from '../simulation/mutants.ts'
import { orderFlow } from '../simulation/order-flow.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    seed: { type: 'string' },
    database: { type: 'string', default: 'postgres' },
    transport: { type: 'string' },
    messages: { type: 'string' },
    faults: { type: 'string' },
    only: { type: 'string' },
    broken: { type: 'string' },
    simulate: { type: 'string' },
  },
})

const number = (name: string, text: string | undefined, otherwise: number): number => {
  const value = text === undefined ? otherwise : Number(text)
  if (!(value > 0)) throw new Error(`--${name} ${String(text)}: give a number above 0`)
  return value
}
const oneOf = <T extends string>(name: string, text: string | undefined, all: readonly T[]): T | undefined => {
  if (text !== undefined && !all.includes(text as T))
    throw new Error(`--${name} ${text}: give one of ${all.join(', ')}`)
  return text as T | undefined
}

const seed = number('seed', values.seed, 1 + (Date.now() % 1_000_000))

async function simulate(schedules: number): Promise<boolean> {
  const mutant = mutants.find(({ name }) => name === values.broken)
  if (values.broken !== undefined && mutant === undefined)
    throw new Error(`--broken ${values.broken}: give one of ${mutants.map(({ name }) => `"${name}"`).join(', ')}`)
  const catalogue = mutant?.struck?.(await catalogueOf(orderFlow(), seed))
  const { failure, ...ran } = await explore(orderFlow(mutant?.name, mutant?.breakage), { schedules, seed, catalogue })
  if (failure !== undefined) console.log(failure.text)
  console.log(
    `${ran.schedules} schedules from seed ${seed}, ${ran.faults} faults, ${ran.steps} steps: ${failure === undefined ? 'nothing found' : `seed ${failure.seed} fails`}`,
  )
  return failure === undefined
}

async function chaos(): Promise<boolean> {
  const broken = oneOf<BreakageName>('broken', values.broken, BREAKAGES)
  const way = oneOf('database', values.database, ['postgres', 'pgbouncer', 'mariadb'])
  const short: Partial<ChaosOptions> = broken === undefined ? {} : caughtBy(broken)
  const result = await runChaos({
    ...short,
    database: way === 'mariadb' ? 'mariadb' : 'postgres',
    pooled: way === 'pgbouncer',
    broker: oneOf<BrokerName>('transport', values.transport, BROKERS),
    seed,
    messages: number('messages', values.messages, short.messages ?? 100_000),
    minutes: number('minutes', values.minutes, short.minutes ?? 10),
    faults: values.faults === undefined ? short.faults : Number(values.faults),
    only: values.only ?? short.only,
    broken,
    log: (line) => console.log(line),
  })
  console.log(result.text)
  return !isCaught(result)
}

const good = await (values.simulate === undefined ? chaos() : simulate(number('simulate', values.simulate, 1)))
const expected = values.broken === undefined
console.log(
  good === expected ? (expected ? 'all is well' : 'it was caught') : expected ? 'FAILED' : 'IT WAS NOT CAUGHT',
)
process.exitCode = good === expected ? 0 : 1
