// A folder of its own for each test, and waiting for the disk while the clock is moved by hand.
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from 'vitest'
import type { Source, SourceUpdate } from '../../../src/core/contracts/source.ts'
import type { FakeClock } from '../../../src/testing/fake-clock.ts'

const ends: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

export function atEnd(end: () => Promise<unknown>): void {
  ends.push(end)
}

export async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'fairlead-file-'))
  atEnd(() => rm(path, { recursive: true, force: true }))
  return path
}

export async function replace(path: string, content: unknown): Promise<void> {
  await writeFile(`${path}.tmp`, typeof content === 'string' ? content : JSON.stringify(content))
  await rename(`${path}.tmp`, path)
}

/** Waits for the disk, really, moving the clock by `stepMs` a turn. */
export async function until(check: () => unknown, clock: FakeClock, stepMs = 0): Promise<void> {
  for (let turn = 0; turn < 1_000; turn++) {
    await clock.advance(stepMs)
    if (await check()) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  throw new Error('it never came')
}

export interface Watched {
  readonly heard: SourceUpdate[]
  /** Ids of the last snapshot, sorted; the type of any other last word. */
  readonly last: string
  readonly errors: readonly unknown[]
  refresh(): void
  close(): Promise<void>
}

export function watched(source: Source, service = 'stock'): Watched {
  const heard: SourceUpdate[] = []
  const watch = source.watch(service, (update) => void heard.push(update))
  atEnd(() => watch.close())
  return {
    heard,
    get last() {
      const update = heard.at(-1)
      if (update?.type !== 'snapshot') return update?.type ?? 'nothing'
      return update.endpoints
        .map(({ id }) => id)
        .sort()
        .join(' ')
    },
    get errors() {
      return heard.flatMap((update) => (update.type === 'error' ? [update.error] : []))
    },
    refresh: () => watch.refresh(),
    close: () => watch.close(),
  }
}
