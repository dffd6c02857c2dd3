// One HTTP client, in a process of its own: gets 1 KiB of JSON, parsed, as often as it can for a while.
import axios from 'axios'
import axiosRetry from 'axios-retry'
import { createProxy, defineContract, httpTransport, resilient } from 'fairlead'
import got from 'got'
import ky from 'ky'
import { request } from 'undici'
import { z } from 'zod'
import { answering } from '../answering.ts'
import { keepCallingWarm, type LoopAnswer, type LoopAsk } from '../closed-loop.ts'
import { CircuitBreaker, cockatielWrap, fourPackages, namedStack, opossumOptions, TimeoutStrategy } from './policies.ts'

const [, , name = '', url = ''] = process.argv

type Call = () => Promise<unknown>

const bare = async (signal?: AbortSignal): Promise<unknown> => {
  const { body } = await (signal === undefined ? request(url) : request(url, { signal }))
  return await body.json()
}

// The whole standard pipeline with its defaults; retries are on in a proxy.
function proxy(schemas: boolean): Call {
  const Stock = z.object({
    sku: z.string(),
    level: z.number().int(),
    warehouse: z.string(),
    updatedAt: z.string(),
    reserved: z.array(z.number()),
    note: z.string(),
  })
  const Inventory = defineContract('inventory', {
    stock: { http: 'GET /stock/:sku', input: z.object({ sku: z.string() }), output: Stock },
  })
  const transport = httpTransport({ baseUrl: new URL(url).origin })
  const inventory = createProxy(Inventory, { transport, validateInput: schemas, validateOutput: schemas })
  return () => inventory.stock({ sku: 'A-1' })
}

const TIMED = { retry: { limit: 2 }, timeout: 2_000 }

const candidates: Readonly<Record<string, () => Call>> = {
  'undici.request': () => () => bare(),
  'A/A control': () => () => bare(),
  proxy: () => proxy(false),
  'proxy, zod': () => proxy(true),
  'resilient(request)': () =>
    resilient('inventory.stock', ({ signal }) => bare(signal), { idempotent: true, retry: {} }),
  // Without any policy: what a signal of its own costs each call.
  'undici.request, own signal': () => () => bare(new AbortController().signal),
  'undici + cockatiel': () => {
    const { policy } = cockatielWrap({ strategy: TimeoutStrategy.Cooperative, timeouts: 2, fallback: false })
    return () => policy.execute(({ signal }) => bare(signal))
  },
  'undici + p-retry(opossum(p-timeout))': () => namedStack(() => bare()),
  'undici + the four packages': () => fourPackages(() => bare()),
  got: () => () => got(url, { ...TIMED, timeout: { request: 2_000 } }).json(),
  ky: () => () => ky(url, TIMED).json(),
  'axios + axios-retry + opossum': () => {
    const client = axios.create({ timeout: 2_000 })
    axiosRetry(client as never, { retries: 2 })
    const breaker = new CircuitBreaker(() => client.get(url), opossumOptions())
    return async () => ((await breaker.fire()) as { readonly data: unknown }).data
  },
}

const call = candidates[name]?.()
if (call === undefined) throw new Error(`no candidate ${name}`)
if ((JSON.stringify(await call()) ?? '').length !== 1_024) throw new Error(`${name} does not get the 1 KiB`)

answering<LoopAsk, LoopAnswer>((ask) => keepCallingWarm(call, ask))
