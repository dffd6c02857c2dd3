// The recipe compares with what lies beside it, and a change that breaks a caller fails it.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { defineContract, topic } from 'fairlead'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { z } from 'zod'
import { check, Inventory, Orders, release } from '../../examples/keep-the-contract.ts'

let path: string
let folder: URL
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'fairlead-'))
  folder = pathToFileURL(`${path}/`)
})
afterEach(() => rmSync(path, { recursive: true }))

test('what lies beside it is what it would release', () => {
  const beside = new URL('../../examples/released/', import.meta.url)
  expect(check(beside)).toBeUndefined()
  release(folder)
  const kept = (where: URL, file: string): unknown => JSON.parse(readFileSync(new URL(file, where), 'utf8'))
  for (const file of ['inventory.json', 'orders.json']) expect(kept(folder, file)).toEqual(kept(beside, file))
})

test('a field that must be given now, an operation and a type that are gone: each is named', () => {
  release(folder)
  const { input, ...rest } = Inventory.operations.reserve.definition
  const narrower = defineContract('inventory', { reserve: { ...rest, input: input.required() } })
  expect(() => check(folder, { inventory: narrower as never, orders: Orders })).toThrow(
    'operations.reserve.input.note: required: must be given now',
  )
  const other = defineContract('inventory', { release: { input: z.object({ id: z.string() }) } })
  expect(() => check(folder, { inventory: other as never, orders: Orders })).toThrow(
    'operations.reserve: removed: the operation is gone',
  )
  const orders = topic('orders', { 'order.placed': z.object({ orderId: z.string() }) })
  expect(() => check(folder, { inventory: Inventory, orders: orders as never })).toThrow(
    'types.order.placed.total: removed: is there no more',
  )
})
