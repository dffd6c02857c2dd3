import { type } from 'arktype'
import * as v from 'valibot'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { createError } from '../../src/errors/classes.ts'
import { defineContract, isFailure } from '../../src/rpi/index.ts'
import { Inventory, thrown } from './shop.ts'

describe('a contract', () => {
  it('is plain, frozen data for transports', () => {
    expect(JSON.parse(JSON.stringify(Inventory.operations.reserve))).toEqual({
      service: 'inventory',
      name: 'reserve',
      idempotent: true,
      streaming: 'none',
      failures: ['outOfStock', 'unknownSku'],
      bindings: {
        http: {
          method: 'POST',
          path: '/reservations',
          segments: [{ literal: 'reservations' }],
          params: [],
          query: [],
          rest: 'body',
        },
      },
    })
    expect(
      Object.isFrozen(Inventory) &&
        Object.isFrozen(Inventory.operations) &&
        Object.isFrozen(Inventory.operations.reserve),
    ).toBe(true)
  })

  it('takes GET and HEAD as idempotent unless it says otherwise, and nothing else', () => {
    const { operations } = defineContract('a', {
      get: { http: 'GET /g' },
      head: { http: 'HEAD /h' },
      put: { http: 'PUT /p' },
      none: {},
      odd: { http: 'GET /odd', idempotent: false },
    })
    expect(Object.values(operations).map(({ name, idempotent }) => [name, idempotent])).toEqual([
      ['get', true],
      ['head', true],
      ['put', false],
      ['none', false],
      ['odd', false],
    ])
  })

  it('keeps bindings of other transports', () => {
    expect(defineContract('a', { b: { bindings: { grpc: { method: 'B' } } } }).operations.b.bindings).toMatchObject({
      grpc: { method: 'B' },
      http: { path: '/a/b' },
    })
  })

  it('says that 503 proves nothing was done', () => {
    expect(
      defineContract('a', { b: { unavailableMeansNotProcessed: true } }).operations.b.unavailableMeansNotProcessed,
    ).toBe(true)
  })
})

describe('a bad contract is refused, naming the place:', () => {
  const object = z.object({ id: z.string() })
  it.each<[string, unknown, unknown, string]>([
    ['empty name', '', { a: {} }, 'service'],
    ['name with a slash', 'a/b', { a: {} }, 'service'],
    ['no operations', 'a', {}, 'operations'],
    ['operations are a list', 'a', [], 'operations'],
    ['__proto__ as an operation', 'a', { ['__proto__' as string]: {}, b: {} }, 'operations.__proto__'],
    ['a prototype set by a literal', 'a', { __proto__: { b: {} }, c: {} }, 'operations'],
    ['then', 'a', { then: {} }, 'operations.then'],
    ['constructor', 'a', { constructor: {} }, 'operations.constructor'],
    ['toJSON', 'a', { toJSON: {} }, 'operations.toJSON'],
    ['hasOwnProperty', 'a', { hasOwnProperty: {} }, 'operations.hasOwnProperty'],
    ['a name with a space', 'a', { 'b c': {} }, 'operations.b c'],
    ['no object', 'a', { b: 'POST /x' }, 'operations.b'],
    ['a misspelt option', 'a', { b: { inputs: object } }, 'operations.b.inputs'],
    ['no such method', 'a', { b: { http: 'FETCH /x' } }, 'operations.b.http'],
    ['a bad path', 'a', { b: { http: 'GET x' } }, 'operations.b.http'],
    ['a number as binding', 'a', { b: { http: 5 } }, 'operations.b.http'],
    [
      'two operations in one place',
      'a',
      { b: { http: 'GET /x/:id', input: object }, c: { http: 'GET /x/:key', input: z.object({ key: z.string() }) } },
      'operations.c.http',
    ],
    ['a parameter without an input', 'a', { b: { http: 'GET /x/:id' } }, 'operations.b.http'],
    ['a parameter that zod does not know', 'a', { b: { http: 'GET /x/:key', input: object } }, 'operations.b.http'],
    [
      'a parameter that valibot does not know',
      'a',
      { b: { http: 'GET /x/:key', input: v.object({ id: v.string() }) } },
      'operations.b.http',
    ],
    [
      'a parameter that arktype does not know',
      'a',
      { b: { http: 'GET /x/:key', input: type({ id: 'string' }) } },
      'operations.b.http',
    ],
    ['a query field that is not known', 'a', { b: { http: 'POST /x?dry', input: object } }, 'operations.b.http'],
    ['no schema as input', 'a', { b: { input: {} } }, 'operations.b.input'],
    ['no schema as output', 'a', { b: { output: () => 1 } }, 'operations.b.output'],
    ['no schema as failure', 'a', { b: { failures: { gone: 5 } } }, 'operations.b.failures.gone'],
    [
      'a failure named __proto__',
      'a',
      { b: { failures: { ['__proto__' as string]: object } } },
      'operations.b.failures.__proto__',
    ],
    ['a failure with a line break', 'a', { b: { failures: { 'a\r\nb': object } } }, 'operations.b.failures.a\r\nb'],
    [
      'a failure with status 200',
      'a',
      { b: { failures: { gone: { schema: object, status: 200 } } } },
      'operations.b.failures.gone.status',
    ],
    ['an unknown kind of stream', 'a', { b: { streaming: 'yes' } }, 'operations.b.streaming'],
    ['a client stream by GET', 'a', { b: { http: 'GET /x', streaming: 'client', input: object } }, 'operations.b.http'],
    [
      'a client stream with a parameter',
      'a',
      { b: { http: 'POST /x/:id', streaming: 'both', input: object } },
      'operations.b.http',
    ],
    ['an output of HEAD', 'a', { b: { http: 'HEAD /x', output: object } }, 'operations.b.http'],
    ['idempotent as text', 'a', { b: { idempotent: 'yes' } }, 'operations.b.idempotent'],
  ])('%s', (_, service, operations, option) => {
    expect(thrown(() => defineContract(service as string, operations as never))).toMatchObject({
      code: 'INVALID_OPTIONS',
      kind: 'invalid',
      details: { option },
    })
  })

  it('but what cannot be known is believed', () => {
    const opaque = { '~standard': { version: 1, vendor: 'x', validate: (value: unknown) => ({ value }) } } as const
    expect(() => defineContract('a', { b: { http: 'GET /x/:key', input: opaque } })).not.toThrow()
    expect(() =>
      defineContract('a', { b: { http: 'GET /x/:key', input: z.record(z.string(), z.string()) } }),
    ).not.toThrow()
    expect(() => defineContract('a', { b: { http: 'GET /x/:key', input: type({ 'key?': 'string' }) } })).not.toThrow()
  })
})

describe('isFailure', () => {
  const error = createError({
    code: 'DECLARED_FAILURE',
    failure: 'outOfStock',
    details: { left: 2 },
    service: 'inventory',
    operation: 'reserve',
  })

  it('holds for the failure of that operation of that contract only', () => {
    expect(isFailure(error, Inventory, 'reserve', 'outOfStock')).toBe(true)
    expect(isFailure(error, Inventory, 'reserve', 'unknownSku')).toBe(false)
    const same = createError({
      code: 'DECLARED_FAILURE',
      failure: 'outOfStock',
      service: 'inventory',
      operation: 'order',
    })
    expect(isFailure(same, Inventory, 'reserve', 'outOfStock')).toBe(false)
    const Other = defineContract('other', { reserve: { failures: { outOfStock: z.object({ left: z.number() }) } } })
    expect(isFailure(error, Other, 'reserve', 'outOfStock')).toBe(false)
    for (const no of [undefined, null, 'x', new Error('x'), createError({ code: 'CONFLICT' })])
      expect(isFailure(no, Inventory, 'reserve', 'outOfStock')).toBe(false)
  })
})
