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
