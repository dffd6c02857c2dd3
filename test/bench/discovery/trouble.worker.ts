// One client of the five servers, in a process of its own: sends requests at an even rate, whatever becomes of them, and tells how they went.
import { createDiscovery, staticSource } from 'fairlead/discovery'
import { discoveryDispatcher } from 'fairlead/http'
import { Agent, BalancedPool, type Dispatcher, interceptors, request } from 'undici'
import { answering } from '../answering.ts'

/** How many a second, for how long. */
export interface TroubleAsk {
  readonly perSecond: number
  readonly ms: number
  /** What is answered later than this is of no use. */
  readonly usefulMs: number
}

/** How they went. */
export interface TroubleAnswer {
  readonly sent: number
  /** Answered in time, a second. */
  readonly goodput: number
  /** Of those that were answered, milliseconds. */
  readonly p50Ms: number
  readonly p99Ms: number
  readonly failures: number
}

const [, , name = '', port = '', ...hosts] = process.argv

const candidates: Readonly<Record<string, () => readonly [Dispatcher, string]>> = {
  discoveryDispatcher: () => {
    const source = staticSource({ inventory: hosts.map((host) => `${host}:${port}`) })
    return [discoveryDispatcher(createDiscovery({ source })), 'http://inventory/items']
  },
  BalancedPool: () => [
    new BalancedPool(hosts.map((host) => `http://${host}:${port}`)),
    `http://${hosts[0]}:${port}/items`,
  ],
  // A name with five addresses.
  'dns interceptor': () => {
    const records = hosts.map((address) => ({ address, family: 4 as const, ttl: 10_000 }))
    const dns = interceptors.dns({ lookup: (_origin, _options, found) => found(null, records) })
    return [new Agent().compose(dns), `http://inventory.test:${port}/items`]
  },
}

const made = candidates[name]?.()
if (made === undefined) throw new Error(`no candidate ${name}`)
const [dispatcher, url] = made

answering<TroubleAsk, TroubleAnswer>(async ({ perSecond, ms, usefulMs }) => {
  const latencies: number[] = []
  let failures = 0
  const call = async (): Promise<void> => {
    const began = performance.now()
    try {
      const { body } = await request(url, { dispatcher })
      if ((await body.text()) !== 'ok') throw new Error('not the answer')
      latencies.push(performance.now() - began)
    } catch {
      failures++
    }
  }
  const calls: Promise<void>[] = []
  const began = performance.now()
  for (let elapsed = 0; elapsed < ms; elapsed = performance.now() - began) {
    for (const due = (Math.min(elapsed, ms) / 1_000) * perSecond; calls.length < due; ) calls.push(call())
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  await Promise.all(calls)
  latencies.sort((a, b) => a - b)
  const at = (share: number): number => latencies[Math.floor(share * (latencies.length - 1))] ?? Number.NaN
  return {
    sent: calls.length,
    goodput: (latencies.filter((latency) => latency <= usefulMs).length / ms) * 1_000,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    failures,
  }
})
