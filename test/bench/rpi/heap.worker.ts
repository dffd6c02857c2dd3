// What 10,000 of a thing weigh on the heap after a call of each, and how many timers they set when they are made. In a process of its own, run with --expose-gc.
import { createHook } from 'node:async_hooks'
import { resilient } from 'fairlead'
import { ringWindow } from 'fairlead/policies'
import { answering } from '../answering.ts'
import { CircuitBreaker, cockatielWrap, opossumOptions, TimeoutStrategy } from './policies.ts'

const COUNT = 10_000
const one = async (): Promise<number> => 1
const services = Array.from({ length: COUNT + 100 }, (_, index) => `service-${index}`)
const name = (index: number): string => services[index] as string

type Call = () => Promise<unknown>

interface Candidate {
  make(index: number): unknown
  call(made: never): Promise<unknown>
}

const candidate = <T>(make: (index: number) => T, call: (made: T) => Promise<unknown>): Candidate => ({ make, call })

const candidates: Readonly<Record<string, Candidate>> = {
  opossum: candidate(
    () => new CircuitBreaker(one, opossumOptions()),
    (breaker) => breaker.fire(),
  ),
  fairlead: candidate<Call>(
    (index) => resilient(name(index), one, { idempotent: true, retry: {} }),
    (call) => call(),
  ),
  'fairlead, ring': candidate<Call>(
    (index) => resilient(name(index), one, { idempotent: true, retry: {}, circuitBreaker: { window: ringWindow } }),
    (call) => call(),
  ),
  cockatiel: candidate(
    () => cockatielWrap({ strategy: TimeoutStrategy.Aggressive, timeouts: 2, fallback: false }).policy,
    (policy) => policy.execute(one),
  ),
}

const measured = candidates[process.argv[2] ?? '']
if (measured === undefined) throw new Error(`no candidate ${process.argv[2]}`)
const { make, call } = measured
const { gc } = globalThis
if (gc === undefined) throw new Error('needs --expose-gc')

function heap(): number {
  for (let i = 0; i < 4; i++) (gc as () => void)()
  return process.memoryUsage().heapUsed
}

answering<object, { readonly bytes: number; readonly timers: number }>(async () => {
  const kept: unknown[] = new Array(COUNT).fill(undefined)
  // What is loaded and compiled once is no part of an instance.
  for (let index = 0; index < 100; index++) await call(make(COUNT + index) as never)
  let timers = 0
  const hook = createHook({
    init(_id, type) {
      if (type === 'Timeout') timers++
    },
  }).enable()
  const before = heap()
  for (let index = 0; index < COUNT; index++) kept[index] = make(index)
  hook.disable()
  // Each is called once: what is made on first use is weighed too.
  for (const each of kept) await call(each as never)
  await new Promise((resolve) => setImmediate(resolve))
  const bytes = (heap() - before) / COUNT
  if (kept.length !== COUNT) throw new Error('unreachable: keeps the instances alive')
  return { bytes, timers }
})
