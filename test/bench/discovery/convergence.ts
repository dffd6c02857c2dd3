// How soon a client knows: from when an instance was announced, or left, until the source tells of it. Real servers, sources at their defaults. A table for
// the guide; no line is drawn here. Only by `--only=convergence`: Eureka at its defaults takes minutes.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { consulRegistrar, consulSource } from 'fairlead/consul'
import type { Registrar, Source } from 'fairlead/discovery'
import { dnsSource } from 'fairlead/dns'
import { eurekaRegistrar, eurekaSource } from 'fairlead/eureka'
import { fileRegistrar, fileSource } from 'fairlead/file'
import { startConsul } from '../../services/consul-instance.ts'
import { startDnsmasq } from '../../services/dnsmasq-instance.ts'
import { startEureka } from '../../services/eureka-instance.ts'
import { table } from '../lines.ts'
import { median } from '../statistics.ts'

interface Ground {
  readonly name: string
  readonly rounds: number
  readonly source: Source
  /** Resolves once the registry has it. */
  announce(host: string): Promise<void>
  withdraw(host: string): Promise<void>
  close(): Promise<void>
}

/** How soon, milliseconds. */
export interface ConvergenceRow {
  readonly name: string
  readonly newMs: readonly number[]
  readonly goneMs: readonly number[]
}

const HOSTS = ['10.0.0.1', '10.0.0.2']

/** Measures and prints. */
export async function benchConvergence(quick: boolean): Promise<{ readonly rows: readonly ConvergenceRow[] }> {
  const rows: ConvergenceRow[] = []
  // A watched file keeps no process alive.
  const alive = setInterval(() => undefined, 1_000)
  for (const make of [file, dns(1), dns(5), consul, eurekaQuick, ...(quick ? [] : [eureka])]) {
    const ground = await make()
    try {
      rows.push(await rounds(ground, quick ? 3 : ground.rounds))
    } finally {
      await ground.close()
    }
  }
  clearInterval(alive)
  const span = (all: readonly number[]): string =>
    `${Math.round(median(all))} (${Math.round(Math.min(...all))} to ${Math.round(Math.max(...all))})`
  console.log('\nmilliseconds until the source tells of it, median (least to most)')
  table(
    ['source', 'a new instance', 'one that left', 'rounds'],
    rows.map(({ name, newMs, goneMs }) => [name, span(newMs), span(goneMs), String(newMs.length)]),
  )
  return { rows }
}

async function rounds(
  { name, rounds: count, source, announce, withdraw }: Ground,
  at: number,
): Promise<ConvergenceRow> {
  const [stays, comes] = HOSTS as [string, string]
  await announce(stays)
  let seen: readonly string[] = []
  let woken = (): void => {}
  const watch = source.watch('orders', (update) => {
    if (update.type === 'snapshot')
      seen = update.endpoints.flatMap(({ addresses }) => addresses.map(({ host }) => host))
    if (update.type === 'absent') seen = []
    woken()
  })
  const until = async (there: boolean): Promise<number> => {
    const began = performance.now()
    while (seen.includes(comes) !== there)
      await new Promise<void>((wake) => {
        woken = wake
      })
    return performance.now() - began
  }
  const newMs: number[] = []
  const goneMs: number[] = []
  try {
    await until(false)
    for (let round = 0; round < Math.min(at, count); round++) {
      // At any point of its interval.
      await wait(Math.random() * 2_000)
      await announce(comes)
      newMs.push(await until(true))
      await wait(Math.random() * 2_000)
      await withdraw(comes)
      goneMs.push(await until(false))
    }
  } finally {
    await watch.close()
    for (const host of HOSTS) await withdraw(host)
  }
  return { name, newMs, goneMs }
}

function registering(registrar: Registrar): Pick<Ground, 'announce' | 'withdraw'> {
  const held = new Map<string, { deregister(): Promise<void> }>()
  return {
    async announce(host) {
      held.set(host, await registrar.register('orders', { id: `orders-${host}`, addresses: [{ host, port: 8080 }] }))
    },
    async withdraw(host) {
      await held.get(host)?.deregister()
      held.delete(host)
    },
  }
}

async function file(): Promise<Ground> {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-convergence-'))
  const path = join(folder, 'endpoints.json')
  return {
    name: 'file',
    rounds: 20,
    source: fileSource({ path }),
    ...registering(fileRegistrar({ path })),
    close: async () => rmSync(folder, { recursive: true, force: true }),
  }
}

const dns = (ttl: number) => async (): Promise<Ground> => {
  const server = await startDnsmasq({ config: [`local-ttl=${ttl}`] })
  const there = new Set<string>()
  const tell = (): Promise<void> => server.hosts([...there].map((host) => `${host} orders.fairlead.test`))
  return {
    name: `DNS, TTL ${ttl} s`,
    rounds: 10,
    source: dnsSource({ servers: [`127.0.0.1:${server.port}`], names: (service) => `${service}.fairlead.test:8080` }),
    announce: (host) => {
      there.add(host)
      return tell()
    },
    withdraw: (host) => {
      there.delete(host)
      return tell()
    },
    close: () => server.remove(),
  }
}

async function consul(): Promise<Ground> {
  const agent = await startConsul()
  return {
    name: 'Consul',
    rounds: 20,
    source: consulSource({ url: agent.url }),
    ...registering(consulRegistrar({ url: agent.url })),
    close: () => agent.remove(),
  }
}

async function ofEureka(
  name: string,
  count: number,
  settings: Readonly<Record<string, string>>,
  intervalMs?: number,
): Promise<Ground> {
  const server = await startEureka({ settings })
  return {
    name,
    rounds: count,
    source: eurekaSource({ urls: server.url, intervalMs }),
    ...registering(eurekaRegistrar({ urls: server.url })),
    close: () => server.remove(),
  }
}

const eurekaQuick = (): Promise<Ground> => ofEureka('Eureka, caches off, intervalMs 200', 10, {}, 200)

const eureka = (): Promise<Ground> =>
  ofEureka('Eureka, both at their defaults', 4, {
    'eureka.server.use-read-only-response-cache': 'true',
    'eureka.server.response-cache-update-interval-ms': '30000',
    'eureka.server.response-cache-auto-expiration-in-seconds': '180',
    'eureka.server.eviction-interval-timer-in-ms': '60000',
    'eureka.server.enable-self-preservation': 'true',
  })
