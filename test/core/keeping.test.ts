import { describe, expect, it } from 'vitest'
import { memoryStore } from '../../src/adapters/memory/index.ts'
import { keepingOf } from '../../src/core/keeping.ts'

const DAY_MS = 86_400_000

describe('how long a store keeps things', () => {
  it('has one set of defaults', () => {
    expect(keepingOf({})).toEqual({
      archive: false,
      inboxRetentionMs: 14 * DAY_MS,
      idempotencyRetentionMs: DAY_MS,
    })
    expect(memoryStore().inbox.retentionMs).toBe(14 * DAY_MS)
  })

  it('may be months', () => {
    expect(keepingOf({ inboxRetentionMs: 90 * DAY_MS }).inboxRetentionMs).toBe(90 * DAY_MS)
  })

  it.each([{ archive: 'yes' }, { inboxRetentionMs: 0 }, { idempotencyRetentionMs: Number.NaN }])(
    'refuses %j',
    (wrong) => {
      expect(() => keepingOf(wrong as never)).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
    },
  )
})
