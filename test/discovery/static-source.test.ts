import { describe, expect, it, vi } from 'vitest'
import { staticSource } from '../../src/discovery/static-source.ts'

describe('staticSource', () => {
  it.each([
    ['10.0.0.1:8080', { id: '10.0.0.1:8080', addresses: [{ host: '10.0.0.1', port: 8080 }] }],
    ['inventory:80', { id: 'inventory:80', addresses: [{ host: 'inventory', port: 80 }] }],
    ['http://inventory', { id: 'inventory:80', addresses: [{ host: 'inventory', port: 80 }] }],
    ['https://inventory:8443', { id: 'inventory:8443', addresses: [{ host: 'inventory', port: 8443 }], secure: true }],
    ['https://inventory', { id: 'inventory:443', addresses: [{ host: 'inventory', port: 443 }], secure: true }],
    ['[::1]:9000', { id: '[::1]:9000', addresses: [{ host: '::1', port: 9000 }] }],
  ])('reads %s', (text, endpoint) => {
    const sink = vi.fn()
    staticSource({ stock: [text] }).watch('stock', sink)
    expect(sink).toHaveBeenCalledWith({ type: 'snapshot', endpoints: [endpoint] })
  })

  it.each(['inventory', 'ftp://inventory:21', 'http://a:80/path', 'a b:80', 'http://user@a:80', ''])(
    'refuses %j',
    (text) => {
      expect(() => staticSource({ stock: [text] })).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
    },
  )

  it.each([
    ['no id', { addresses: [{ host: 'a', port: 1 }] }],
    ['no address', { id: 'a', addresses: [] }],
    ['port 0', { id: 'a', addresses: [{ host: 'a', port: 0 }] }],
    [
      'one bad address of two',
      {
        id: 'a',
        addresses: [
          { host: 'a', port: 1 },
          { host: 'a b', port: 1 },
        ],
      },
    ],
    ['a negative weight', { id: 'a', addresses: [{ host: 'a', port: 1 }], weight: -1 }],
    ['a state that is none', { id: 'a', addresses: [{ host: 'a', port: 1 }], state: 'UP' }],
    ['null', null],
  ])('refuses an endpoint with %s', (_what, endpoint) => {
    expect(() => staticSource({ stock: [endpoint as never] })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS' }),
    )
  })

  it('takes the same twice as one, and refuses two of one id', () => {
    const sink = vi.fn()
    staticSource({ stock: ['h:1', 'h:1'] }).watch('stock', sink)
    expect(sink.mock.calls[0]?.[0].endpoints).toHaveLength(1)
    const other = { id: 'h:1', addresses: [{ host: 'x', port: 1 }] }
    expect(() => staticSource({ stock: ['h:1', other] })).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
  })

  it('goes on when a watcher throws, and tells nothing after close', async () => {
    const source = staticSource({ stock: ['h:1'] })
    source.watch('stock', () => {
      throw new Error('mine')
    })
    const sink = vi.fn()
    const watch = source.watch('stock', sink)
    source.set('stock', ['h:2'])
    await watch.close()
    watch.refresh()
    expect(sink).toHaveBeenCalledTimes(2)
  })

  it('refuses what is no list', () => {
    const given = '10.0.0.1:80' as never
    const refusal = expect.objectContaining({
      code: 'INVALID_OPTIONS',
      message: expect.stringContaining('give a list'),
    })
    expect(() => staticSource({ stock: given })).toThrow(refusal)
    expect(() => staticSource({}).set('stock', given)).toThrow(refusal)
  })

  it('says absent of what it does not know, `__proto__` too', () => {
    const sink = vi.fn()
    const source = staticSource({ stock: ['h:1'] })
    source.watch('other', sink)
    source.watch('__proto__', sink)
    source.watch('constructor', sink)
    expect(sink.mock.calls).toEqual([[{ type: 'absent' }], [{ type: 'absent' }], [{ type: 'absent' }]])
  })

  it('tells its watchers of a new list until they close', async () => {
    const sink = vi.fn()
    const source = staticSource({ stock: ['h:1'] })
    const watch = source.watch('stock', sink)
    source.set('stock', ['h:2'])
    source.set('stock', undefined)
    watch.refresh()
    await watch.close()
    source.set('stock', ['h:3'])
    expect(sink.mock.calls.map(([update]) => update.type)).toEqual(['snapshot', 'snapshot', 'absent', 'absent'])
  })
})
