import { type } from 'arktype'
import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { type StandardSchema, validate } from '../../src/core/schema.ts'

describe.each([
  ['zod', z.object({ sku: z.string(), lines: z.array(z.object({ quantity: z.number() })) })],
  ['valibot', v.object({ sku: v.string(), lines: v.array(v.object({ quantity: v.number() })) })],
  ['arktype', type({ sku: 'string', lines: type({ quantity: 'number' }).array() })],
])('validate with %s', (_, given) => {
  const schema = given as unknown as StandardSchema<unknown, { sku: string }>

  test('gives the value', async () => {
    const value = { sku: 'A-1', lines: [{ quantity: 1 }] }
    expect(await validate(schema, value)).toEqual({ ok: true, value })
  })

  test('names each place that is wrong', async () => {
    const result = await validate(schema, { sku: 1, lines: [{ quantity: 1 }, { quantity: 'two' }] })
    expect(result.ok).toBe(false)
    if (result.ok) return
    expect(result.issues.map(({ path }) => path).sort()).toEqual(['lines.1.quantity', 'sku'])
    for (const { message } of result.issues) expect(message).not.toBe('')
  })

  test('of no object at all, the whole is wrong', async () => {
    const result = await validate(schema, null)
    expect(result).toMatchObject({ ok: false, issues: [{ path: '' }] })
  })
})

const schemaOf = (check: (value: unknown) => unknown): StandardSchema => ({
  '~standard': { version: 1, vendor: 'mine', validate: check as never },
})

test('costs no promise where the schema is synchronous', () => {
  expect(
    validate(
      schemaOf((value) => ({ value })),
      1,
    ),
  ).toEqual({ ok: true, value: 1 })
})

test('waits for a schema that is asynchronous', async () => {
  expect(
    await validate(
      schemaOf(async (value) => ({ value })),
      1,
    ),
  ).toEqual({ ok: true, value: 1 })
  expect(
    await validate(
      z.string().refine(async () => false, 'never'),
      'x',
    ),
  ).toEqual({ ok: false, issues: [{ path: '', message: 'never' }] })
})

test('paths are dotted, whatever their parts are', () => {
  const issues = [{ message: 'bad', path: ['a', 0, { key: 'b' }, Symbol('c')] }]
  expect(
    validate(
      schemaOf(() => ({ issues })),
      1,
    ),
  ).toEqual({ ok: false, issues: [{ path: 'a.0.b.Symbol(c)', message: 'bad' }] })
})
