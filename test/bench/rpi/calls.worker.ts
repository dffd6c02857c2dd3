// One candidate around `async () => 1`, in a process of its own: answers with nanoseconds a call.
import { resilient, value } from 'fairlead'
import { type CircuitBreakerOptions, ringWindow } from 'fairlead/policies'
import { answering } from '../answering.ts'
import { type Callee, CircuitBreaker, cockatielWrap, namedStack, opossumOptions, TimeoutStrategy } from './policies.ts'

const { Aggressive, Cooperative } = TimeoutStrategy

// The cheapest callee there is, and one that looks at its signal.
const one = async (): Promise<number> => 1
const reading: Callee<number> = async (signal) => (signal.aborted ? 0 : 1)

const ring = { circuitBreaker: { window: ringWindow } as const }

function ours(circuitBreaker: CircuitBreakerOptions | undefined, reads: boolean): () => Promise<unknown> {
  const options = { idempotent: true, retry: {}, fallback: [value(0)], circuitBreaker }
  return reads
    ? resilient('bench', async ({ signal }) => (signal.aborted ? 0 : 1), options)
    : resilient('bench', async () => 1, options)
}

function theirs(strategy: TimeoutStrategy, timeouts: 1 | 2, reads: boolean): () => Promise<unknown> {
  const { policy } = cockatielWrap({ strategy, timeouts, fallback: true })
  return reads ? () => policy.execute(({ signal }) => reading(signal)) : () => policy.execute(one)
}

const failing = async (): Promise<number> => {
  throw new Error('down')
}
const hanging = (): Promise<number> => new Promise(() => {})

// Refused by an open circuit: no fallback, or there would be no refusal.
async function oursOpen(): Promise<ReturnType<typeof resilient<[], number>>> {
  let down = true
  const call = resilient('bench', () => (down ? failing() : one()), {
    idempotent: true,
    retry: {},
    circuitBreaker: { openMs: 600_000, maxOpenMs: 600_000 },
  })
  for (let i = 0; i < 40; i++) await call().catch(() => {})
  down = false
  await mustRefuse(call, 'CIRCUIT_OPEN')
  return call
}

async function oursCapped(): Promise<ReturnType<typeof resilient<[], number>>> {
  const call = resilient('bench', hanging, {
    idempotent: true,
    retry: {},
    deadlineMs: 3_600_000,
    attemptTimeoutMs: 3_600_000,
  })
  for (let i = 0; i < 100; i++) call().catch(() => {})
  await mustRefuse(call, 'OUTSTANDING_LIMIT')
  return call
}

async function mustRefuse(call: () => Promise<unknown>, code: string): Promise<void> {
  const error = await call().then(
    () => undefined,
    (thrown) => thrown as { readonly code?: string; readonly name?: string },
  )
  if (error?.code !== code && error?.name !== code)
    throw new Error(`expected ${code}, got ${error?.code ?? error?.name}`)
}

async function opossumOpen(): Promise<() => Promise<unknown>> {
  let down = true
  const breaker = new CircuitBreaker(() => (down ? failing() : one()), opossumOptions())
  for (let i = 0; i < 40; i++) await breaker.fire().catch(() => {})
  down = false
  await mustRefuse(() => breaker.fire(), 'EOPENBREAKER')
  return () => breaker.fire()
}

async function opossumCapped(): Promise<() => Promise<unknown>> {
  // Its own refusals count as failures and would open it: the cap alone is measured.
  const breaker = new CircuitBreaker(hanging, {
    ...opossumOptions(),
    capacity: 100,
    volumeThreshold: Number.MAX_SAFE_INTEGER,
  })
  for (let i = 0; i < 100; i++) breaker.fire().catch(() => {})
  await mustRefuse(() => breaker.fire(), 'ESEMLOCKED')
  return () => breaker.fire()
}

async function cockatielOpen(): Promise<() => Promise<unknown>> {
  const { policy, breaker } = cockatielWrap({ strategy: Aggressive, timeouts: 2, fallback: false })
  for (let i = 0; i < 400; i++) await breaker.execute(failing).catch(() => {})
  const call = () => policy.execute(one)
  await mustRefuseAs(call, /circuit/)
  return call
}

async function cockatielCapped(): Promise<() => Promise<unknown>> {
  const { policy, cap } = cockatielWrap({ strategy: Aggressive, timeouts: 2, fallback: false })
  for (let i = 0; i < 100; i++) cap.execute(hanging).catch(() => {})
  const call = () => policy.execute(one)
  await mustRefuseAs(call, /bulkhead/i)
  return call
}

async function mustRefuseAs(call: () => Promise<unknown>, message: RegExp): Promise<void> {
  const error = await call().then(
    () => undefined,
    (thrown) => thrown as Error,
  )
  if (!message.test(error?.message ?? '')) throw new Error(`expected ${message}, got ${error?.message}`)
}

type Call = () => Promise<unknown>
const thrown =
  (call: Call): Call =>
  async () => {
    try {
      await call()
    } catch (error) {
      return error
    }
    throw new Error('was not refused')
  }

const candidates: Readonly<Record<string, () => Call | Promise<Call>>> = {
  bare: () => one,
  fairlead: () => ours(undefined, false),
  'fairlead, ring': () => ours(ring.circuitBreaker, false),
  'fairlead, signal': () => ours(undefined, true),
  'fairlead, ring, signal': () => ours(ring.circuitBreaker, true),
  cockatiel: () => theirs(Aggressive, 2, false),
  'cockatiel, signal': () => theirs(Aggressive, 2, true),
  'cockatiel cooperative': () => theirs(Cooperative, 2, false),
  'cockatiel cooperative, signal': () => theirs(Cooperative, 2, true),
  'cockatiel, one timeout': () => theirs(Aggressive, 1, false),
  'named stack': () => namedStack(one),
  'fairlead open, thrown': async () => thrown(await oursOpen()),
  'fairlead open, result': async () => (await oursOpen()).result,
  'fairlead capped, thrown': async () => thrown(await oursCapped()),
  'fairlead capped, result': async () => (await oursCapped()).result,
  'opossum open': async () => thrown(await opossumOpen()),
  'opossum capped': async () => thrown(await opossumCapped()),
  'cockatiel open': async () => thrown(await cockatielOpen()),
  'cockatiel capped': async () => thrown(await cockatielCapped()),
}

const name = process.argv[2] ?? ''
const call = await candidates[name]?.()
if (call === undefined) throw new Error(`no candidate ${name}`)

async function run(calls: number): Promise<number> {
  const began = process.hrtime.bigint()
  for (let i = 0; i < calls; i++) await (call as Call)()
  return Number(process.hrtime.bigint() - began) / calls
}

/** A question: for about how long. */
interface Ask {
  readonly ms: number
  readonly warmUp?: boolean
}

let nanoseconds = 0

// How many calls that is was counted when it was warm, so that the clock is not read in the loop.
async function measured(ms: number): Promise<number> {
  return await run(Math.ceil((ms * 1e6) / nanoseconds))
}

answering<Ask, { readonly ns: number }>(async ({ ms, warmUp }) => {
  if (warmUp !== true) return { ns: await measured(ms) }
  nanoseconds = await run(200)
  for (const end = performance.now() + ms; performance.now() < end; ) nanoseconds = await measured(10)
  return { ns: nanoseconds }
})
