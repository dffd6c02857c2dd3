import { describe, expect, it } from 'vitest'
import { readContent } from '../../../src/adapters/file/formats.ts'

const endpoints = (content: unknown, service = 'stock', labels?: readonly string[]): unknown =>
  readContent(JSON.stringify(content), undefined, labels)
    .services.get(service)
    ?.map(({ endpoint }) => endpoint)

describe('our own format', () => {
  it('takes text and endpoints', () => {
    const full = {
      id: 'pod-1',
      addresses: [{ host: 'b', port: 81 }],
      weight: 2,
      zone: 'z',
      state: 'starting',
      metadata: { v: '1' },
    }
    expect(
      endpoints({ services: { stock: ['a:80', 'https://c', full, { addresses: [{ host: 'd', port: 82 }] }] } }),
    ).toEqual([
      { id: 'a:80', addresses: [{ host: 'a', port: 80 }] },
      { id: 'c:443', addresses: [{ host: 'c', port: 443 }], secure: true },
      full,
      { id: 'd:82', addresses: [{ host: 'd', port: 82 }] },
    ])
  })

  it('leaves out single entries that are none, and says so', () => {
    const { services, flaws } = readContent(
      JSON.stringify({
        services: {
          stock: [
            'a:80',
            'nonsense',
            7,
            null,
            { id: 'x' },
            { id: 'w', addresses: [{ host: 'h', port: 1 }], weight: -1 },
          ],
        },
      }),
      undefined,
    )
    expect(services.get('stock')?.map(({ endpoint }) => endpoint.id)).toEqual(['a:80', 'w'])
    expect(flaws.get('stock')).toEqual(['no address', 'no endpoint', 'bad weight, taken as 1'])
  })

  it('knows services of every name', () => {
    const { services } = readContent('{"services":{"__proto__":["a:80"],"constructor":[]}}', undefined)
    expect([...services.keys()]).toEqual(['__proto__', 'constructor'])
  })

  it.each([
    ['nothing', '', 'empty'],
    ['blanks', ' \n', 'empty'],
    ['half of it', '{"services":{"stock":["a:80"', 'no JSON'],
    ['HTML', '<html></html>', 'no JSON'],
    ['a number', '7', 'services'],
    ['null', 'null', 'services'],
    ['no services', '{"stock":["a:80"]}', 'services'],
    ['a list of services', '{"services":[]}', 'services'],
    ['one entry for a list', '{"services":{"stock":"a:80"}}', 'is no list'],
    ['a group without targets', '[{"labels":{}}]', 'targets'],
  ])('is no %s', (_what, text, message) => {
    expect(() => readContent(text, undefined)).toThrow(
      expect.objectContaining({ code: 'REPLY_UNDECODABLE', message: expect.stringContaining(message) }),
    )
  })

  it('is not the other one where that was said', () => {
    expect(() => readContent('[]', 'fairlead')).toThrow()
    expect(() => readContent('{"services":{}}', 'prometheus')).toThrow()
  })
})

describe('file_sd', () => {
  it('names the service by its label, and keeps the others as metadata', () => {
    const labels = { job: 'stock', zone: 'z', weight: '3', env: 'prod', __scheme__: 'https', __meta_x: '1' }
    expect(endpoints([{ targets: ['a:80', '[2001:db8::1]:81'], labels }])).toEqual(
      ['a:80', '[2001:db8::1]:81'].map((id, at) => ({
        id,
        addresses: [at === 0 ? { host: 'a', port: 80 } : { host: '2001:db8::1', port: 81 }],
        secure: true,
        zone: 'z',
        weight: 3,
        metadata: { job: 'stock', zone: 'z', weight: '3', env: 'prod' },
      })),
    )
  })

  it('takes the first label there is of service, __meta_service and job, or the one that was given', () => {
    const groups = [{ targets: ['a:1'], labels: { job: 'j', service: 'stock' } }]
    expect(endpoints(groups)).toHaveLength(1)
    expect(endpoints(groups, 'j')).toBeUndefined()
    expect(endpoints(groups, 'j', ['job'])).toHaveLength(1)
    expect(endpoints([{ targets: ['a:1'], labels: { job: 'j', __meta_service: 'stock' } }])).toHaveLength(1)
  })

  it('adds groups of one service up, and says what it could not take', () => {
    const { services, flaws } = readContent(
      JSON.stringify([
        { targets: ['a:1'], labels: { job: 'stock' } },
        { targets: ['b:1', 'b', 7, 'http://c:1'], labels: { job: 'stock' } },
        { targets: ['d:1'] },
      ]),
      undefined,
    )
    expect(services.get('stock')?.map(({ endpoint }) => endpoint.id)).toEqual(['a:1', 'b:1'])
    expect(flaws.get('stock')).toEqual(['no address'])
    expect(flaws.get('')).toEqual(['a group without a label that names its service (service, __meta_service, job)'])
  })
})
