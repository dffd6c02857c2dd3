// How calls went of late, in a few numbers an endpoint.

const BUCKETS = 10

/** How many calls went well or failed of late. Without timers: what is too old is cleared when the next one is counted. */
export class RollingCounts {
  private readonly bucketMs: number
  // Successes and failures by turns. A plain array: it is touched with each outcome, and a typed one is one step further away.
  private readonly counts: number[]
  private latest: number

  constructor(windowMs: number) {
    this.bucketMs = windowMs / BUCKETS
    this.counts = new Array<number>(2 * BUCKETS).fill(0)
    this.latest = 0
  }

  count(ok: boolean, now: number): void {
    const at = this.advance(now) + (ok ? 0 : 1)
    this.counts[at] = (this.counts[at] as number) + 1
  }

  sums(now: number): { readonly ok: number; readonly failed: number } {
    this.advance(now)
    let ok = 0
    let failed = 0
    for (let at = 0; at < 2 * BUCKETS; at += 2) {
      ok += this.counts[at] as number
      failed += this.counts[at + 1] as number
    }
    return { ok, failed }
  }

  clear(): void {
    this.counts.fill(0)
  }

  private advance(now: number): number {
    const bucket = Math.floor(now / this.bucketMs)
    if (bucket !== this.latest) {
      for (let step = Math.min(bucket - this.latest, BUCKETS); step > 0; step--) {
        const at = 2 * ((bucket - step + 1) % BUCKETS)
        this.counts[at] = 0
        this.counts[at + 1] = 0
      }
      this.latest = bucket
    }
    return 2 * (bucket % BUCKETS)
  }
}
