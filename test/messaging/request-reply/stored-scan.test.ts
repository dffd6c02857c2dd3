// The look for what is due: one that cannot be read must not hide those behind it.
import { describe, expect, it } from 'vitest'
import { createError } from '../../../src/errors/index.ts'
import { Scan } from '../../../src/messaging/request-reply/stored-scan.ts'
import { world } from '../../../src/policies/seams.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'

function lab(expire: (id: string, rows: Set<string>) => Promise<void>, count: number) {
  const clock = fakeClock()
  const rows = new Set(Array.from({ length: count }, (_, at) => `row-${at}`))
  const asked: number[] = []
  const failures: string[] = []
  const scan = new Scan({
    world: world({ clock, random: () => 0.5 }),
    everyMs: 10_000,
    due: async (limit) => {
      asked.push(limit)
      return [...rows].slice(0, limit)
    },
    expire: (id) => expire(id, rows),
    failed: ({ code }) => failures.push(code),
  })
  return { clock, rows, asked, failures, scan }
}

describe('a look for what is due', () => {
  it('pages past rows that fail, in whatever number, and says so once', async () => {
    const { clock, rows, asked, failures, scan } = lab(async (id, all) => {
      if (Number(id.slice(4)) < 250) throw createError({ code: 'INCOMPATIBLE', message: 'of a newer version' })
      all.delete(id)
    }, 700)
    scan.start()
    await clock.advance(1_000)
    expect(rows.size).toBe(250)
    expect(failures).toEqual(['INCOMPATIBLE'])
    expect(asked.every((limit) => limit <= 350)).toBe(true)
    await scan.stop()
  })

  it('ends with rows that stay due though nothing is to be done', async () => {
    const met: string[] = []
    const { clock, asked, scan } = lab(async (id) => void met.push(id), 230)
    scan.start()
    await clock.advance(1_000)
    expect(met).toHaveLength(230)
    expect(asked.length).toBeLessThan(7)
    await scan.stop()
  })

  it('asks no more of a database that is away', async () => {
    const { clock, asked, failures, scan } = lab(() => Promise.reject(createError({ code: 'CONNECTION_LOST' })), 500)
    scan.start()
    await clock.advance(1_000)
    expect(asked).toEqual([100])
    expect(failures).toEqual(['CONNECTION_LOST'])
    await scan.stop()
  })
})
