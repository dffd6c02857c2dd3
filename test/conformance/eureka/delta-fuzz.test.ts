// Delta drift against the real Eureka: foreign clients come, go and change at random, and after each sweep of changes our view has to be the
// server's. eureka-js-client stands in the same table. FAIRLEAD_FUZZ_SWEEPS and FAIRLEAD_FUZZ_SEED make it longer, or another one.
import { createRequire } from 'node:module'
import { afterAll, expect, test } from 'vitest'
import { eurekaSource } from '../../../src/adapters/eureka/index.ts'
import type { Endpoint, SourceUpdate } from '../../../src/core/contracts/source.ts'
import { fakeClock, seededRandom } from '../../../src/testing/index.ts'
import { startEureka } from '../../services/eureka-instance.ts'
import { type Foreign, type ForeignInstance, foreign } from './foreign.ts'
import { frontOf } from './front.ts'

const SWEEPS = Number(process.env.FAIRLEAD_FUZZ_SWEEPS ?? 150)
const SEED = Number(process.env.FAIRLEAD_FUZZ_SEED ?? 20_261_121)
const INTERVAL_MS = 5_000
const APPLICATIONS = ['fuzz-a', 'fuzz-b', 'fuzz-c', 'fuzz-d']
const STATUSES = ['UP', 'DOWN', 'STARTING', 'OUT_OF_SERVICE']

const instance = await startEureka()
const front = await frontOf(instance)
const hand = foreign(instance.url)
afterAll(async () => {
  await front.close()
  await instance.remove()
})

const random = seededRandom(SEED)
const any = <T>(of: readonly T[]): T => of[Math.floor(random() * of.length)] as T
const below = (most: number): number => Math.floor(random() * most)

const status = (state: Endpoint['state']): string =>
  ({ ready: 'UP', starting: 'STARTING', draining: 'OUT_OF_SERVICE', down: 'DOWN' })[state ?? 'ready']

const lines = (all: readonly string[]): string => [...all].sort().join('\n')
const lineOf = ({ app, instanceId, hostName, port, status: is, metadata }: ForeignInstance): string =>
  `${app} ${instanceId} ${hostName}:${port.$} ${is} ${metadata['version'] ?? '-'}`

/** One change by a foreign client. Each instance has a host of its own, so that no client may mistake one for another. */
const change = async (client: Foreign, alive: Set<string>): Promise<void> => {
  const key = alive.size > 0 && random() < 0.75 ? any([...alive]) : `${any(APPLICATIONS)}/i-${below(40)}`
  const [application = '', id = ''] = key.split('/')
  const host = `10.${APPLICATIONS.indexOf(application)}.0.${1 + Number(id.slice(2))}`
  const post = (): Promise<void> =>
    client.post(application, id, {
      hostName: host,
      ipAddr: host,
      status: random() < 0.7 ? 'UP' : any(STATUSES),
      port: { $: 8_000 + below(3), '@enabled': 'true' },
      metadata: { version: String(below(5)) },
    })
  const path = `/apps/${application.toUpperCase()}/${id}`
  if (!alive.has(key)) {
    await post()
    alive.add(key)
    return
  }
  const dice = random()
  if (dice < 0.25) {
    await client.remove(application, id)
    alive.delete(key)
  } else if (dice < 0.5) await client.override(application, id, any(STATUSES))
  else if (dice < 0.6) await client.ask('DELETE', `${path}/status?value=${any(['UP', 'DOWN'])}`)
  else if (dice < 0.75) await client.ask('PUT', `${path}/metadata?version=${below(5)}`)
  else if (dice < 0.85) await client.ask('PUT', path)
  else await post()
}

interface Watcher {
  readonly name: string
  wrong: number
  look(): Promise<string>
}

/** Ours: all applications over one shared poll, on a clock that is turned by hand. */
const fairlead = (): Watcher & { close(): Promise<void> } => {
  const clock = fakeClock()
  const url = `http://127.0.0.1:${front.port}/eureka`
  const source = eurekaSource({ urls: url, by: 'registry', intervalMs: INTERVAL_MS, clock, random: seededRandom(SEED) })
  const views = new Map<string, SourceUpdate>()
  let heard = 0
  let wake = (): void => {}
  const watches = APPLICATIONS.map((application) =>
    source.watch(application, (update) => {
      views.set(application, update)
      heard++
      wake()
    }),
  )
  const rounds = async (count: number): Promise<void> => {
    while (heard < count * APPLICATIONS.length) await new Promise<void>((resolve) => (wake = resolve))
  }
  let round = 1
  return {
    name: 'fairlead',
    wrong: 0,
    async look() {
      // The answer to the first question, then one for each interval.
      await rounds(round++)
      await clock.advance(INTERVAL_MS)
      await rounds(round)
      return lines(
        APPLICATIONS.flatMap((application) => {
          const update = views.get(application)
          if (update?.type === 'error') throw update.error
          if (update?.type !== 'snapshot') return []
          return update.endpoints.map(
            ({ id, addresses, state, metadata }) =>
              `${application.toUpperCase()} ${id} ${addresses[0]?.host}:${addresses[0]?.port} ${status(state)} ${metadata?.['version'] ?? '-'}`,
          )
        }),
      )
    },
    close: async () => void (await Promise.all(watches.map((watch) => watch.close()))),
  }
}

interface EurekaJs {
  readonly cache: { readonly app: Readonly<Record<string, readonly ForeignInstance[]>> }
  fetchRegistry(done: (error: unknown) => void): void
}

/** The client that most Node services use, asked for changes as often as ours. */
const eurekaJs = (): Watcher => {
  const { Eureka } = createRequire(import.meta.url)('eureka-js-client') as { Eureka: new (config: object) => EurekaJs }
  const quiet = { warn() {}, info() {}, debug() {}, error() {} }
  const client = new Eureka({
    instance: {
      app: 'fuzz',
      hostName: 'fuzz',
      ipAddr: '10.9.9.9',
      port: { $: 1, '@enabled': true },
      vipAddress: 'fuzz',
      dataCenterInfo: { '@class': 'com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo', name: 'MyOwn' },
    },
    eureka: {
      host: '127.0.0.1',
      port: instance.port,
      servicePath: '/eureka/apps/',
      registerWithEureka: false,
      filterUpInstances: false,
    },
    shouldUseDelta: true,
    logger: quiet,
  })
  return {
    name: 'eureka-js-client 4.5.0',
    wrong: 0,
    async look() {
      await new Promise<void>((resolve, reject) => client.fetchRegistry((error) => (error ? reject(error) : resolve())))
      return lines(Object.values(client.cache.app).flatMap((of) => of.map(lineOf)))
    },
  }
}

test(`${SWEEPS} sweeps of random changes: our view is the server's after each`, {
  timeout: 30_000 + SWEEPS * 500,
}, async () => {
  const alive = new Set<string>()
  const ours = fairlead()
  const watchers: readonly Watcher[] = [ours, eurekaJs()]
  let changes = 0
  let differing: string | undefined
  try {
    for (let sweep = 0; sweep < SWEEPS; sweep++) {
      for (let left = 1 + below(10); left > 0; left--, changes++) await change(hand, alive)
      const truth = lines((await hand.all()).map(lineOf))
      for (const watcher of watchers) {
        const view = await watcher.look()
        if (view === truth) continue
        watcher.wrong++
        if (watcher === ours) differing ??= `sweep ${sweep}\nserver:\n${truth}\nours:\n${view}`
      }
    }
  } finally {
    await ours.close()
  }
  const table = [
    `| client | sweeps | changes | sweeps after which its view was not the server's |`,
    '| --- | --- | --- | --- |',
    ...watchers.map(({ name, wrong }) => `| ${name} | ${SWEEPS} | ${changes} | ${wrong} |`),
  ]
  process.stdout.write(`${table.join('\n')}\n(seed ${SEED}; ${front.questions} requests of ours)\n`)
  expect(differing).toBeUndefined()
  // It drifts, and nothing tells it: if it did not, the changes would be too tame to say anything of us.
  expect(watchers[1]?.wrong).toBeGreaterThan(0)
})
