// Chaos finds what is broken on purpose, each in a run of its own.
import { expect, it } from 'vitest'
import { caughtBy, isCaught } from './catches.ts'
import { type ChaosOptions, runChaos } from './run.ts'
import type { BreakageName } from './words.ts'

/** Cases for these; any other by hand: `npm run chaos -- --broken <name> --database postgres|pgbouncer|mariadb`. */
export function catchesAll(where: Pick<ChaosOptions, 'database' | 'pooled'>, all: readonly BreakageName[]): void {
  it.each(all)('%s is caught', { timeout: 600_000 }, async (broken) => {
    const result = await runChaos({ ...where, ...caughtBy(broken), seed: 3, broken })
    expect(isCaught(result), result.text).toBe(true)
  })
}
