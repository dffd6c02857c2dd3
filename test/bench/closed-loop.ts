// A closed loop: so many callers, each with one call at a time, one after the other for a while.

/** How many at a time, for how long. */
export interface LoopAsk {
  readonly inFlight: number
  readonly ms: number
}

/** Calls a second, CPU microseconds a call, latencies in microseconds. */
export interface LoopAnswer {
  readonly rate: number
  readonly cpuUs: number
  readonly p50Us: number
  readonly p99Us: number
}

/** Calls for a while. */
export async function keepCalling(call: () => Promise<unknown>, { inFlight, ms }: LoopAsk): Promise<LoopAnswer> {
  const latencies: number[] = []
  const cpu = process.cpuUsage()
  const began = performance.now()
  const end = began + ms
  const lane = async (): Promise<void> => {
    for (let now = performance.now(); now < end; ) {
      await call()
      const after = performance.now()
      latencies.push(after - now)
      now = after
    }
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
  const elapsed = performance.now() - began
  const { user, system } = process.cpuUsage(cpu)
  latencies.sort((a, b) => a - b)
  const at = (share: number): number => (latencies[Math.floor(share * (latencies.length - 1))] ?? Number.NaN) * 1_000
  return {
    rate: (latencies.length / elapsed) * 1_000,
    cpuUs: (user + system) / latencies.length,
    p50Us: at(0.5),
    p99Us: at(0.99),
  }
}

/** The same, behind a short run that is not counted: connections that were closed meanwhile are opened again outside the measurement. */
export async function keepCallingWarm(call: () => Promise<unknown>, ask: LoopAsk): Promise<LoopAnswer> {
  await keepCalling(call, { inFlight: ask.inFlight, ms: 25 })
  return await keepCalling(call, ask)
}
