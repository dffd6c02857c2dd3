// Every recipe does through its client what it says: attempt timeout, cancel, retry, fallback, seen at the server.
import { readdirSync, readFileSync } from 'node:fs'
import type { FairleadError } from 'fairlead'
import { createFaultServer, type FaultServer, fault } from 'fairlead/testing'
import { request } from 'undici'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { stockClient as anyFunction } from '../../examples/wrap-any-function.ts'
import { stockClient as axios } from '../../examples/wrap-axios.ts'
import { stockClient as fetch } from '../../examples/wrap-fetch.ts'
import { stockClient as got } from '../../examples/wrap-got.ts'
import { stockClient as ky } from '../../examples/wrap-ky.ts'
import { stockClient as nodeHttp } from '../../examples/wrap-node-http.ts'
import { stockClient as undici } from '../../examples/wrap-undici.ts'

const folder = new URL('../../examples/', import.meta.url)
const clients = { axios, fetch, got, ky, 'node-http': nodeHttp, undici }
const stock = { sku: 'A-1', level: 7 }
const PATH = '/stock/A-1'

let server: FaultServer
beforeAll(async () => {
  server = await createFaultServer()
})
afterEach(async () => {
  await server.listen()
  server.release()
  server.clear()
})
afterAll(() => server.close())

describe.each(Object.entries(clients))('recipe %s', (_name, stockClient) => {
  it('answers', async () => {
    server.on(PATH, fault.json(stock))
    expect(await stockClient(server.url)('A-1')).toEqual(stock)
    expect(server.seen.requests(PATH)).toBe(1)
  })

  it('ends an attempt that hangs, and tries again', async () => {
    server.on(PATH, fault.hangBeforeHead(), fault.json(stock))
    expect(await stockClient(server.url)('A-1')).toEqual(stock)
    expect(server.seen.requests(PATH)).toBe(2)
    await server.aborted(PATH) // the work itself was ended too
  })

  it('retries a 503 and a reset, three attempts in all', async () => {
    server.on(PATH, fault.status(503), fault.resetAfterRequest(), fault.json(stock))
    expect(await stockClient(server.url)('A-1')).toEqual(stock)
    expect(server.seen.requests(PATH)).toBe(3)
  })

  it('does not retry a 404, and says that nothing happened', async () => {
    server.on(PATH, fault.status(404))
    const { error } = (await stockClient(server.url).result('A-1')) as { error: FairleadError }
    expect(error).toMatchObject({
      code: 'NOT_FOUND',
      kind: 'response',
      effect: 'none',
      service: 'inventory',
      operation: 'stock',
    })
    expect(server.seen.requests(PATH)).toBe(1)
  })

  it('does not know what happened where the connection broke', async () => {
    server.on(PATH, fault.resetAfterRequest())
    const { error } = (await stockClient(server.url).result('A-1')) as { error: FairleadError }
    expect(error).toMatchObject({ code: 'CONNECTION_LOST', kind: 'omission', effect: 'unknown' })
    expect(server.seen.requests(PATH)).toBe(3)
  })

  it('is cancelled by its caller, at once and for good', async () => {
    server.on(PATH, fault.hangBeforeHead())
    const gone = new AbortController()
    const call = stockClient(server.url).with({ signal: gone.signal }).result('A-1')
    await server.arrived(PATH)
    gone.abort(new Error('the user left'))
    const { error } = (await call) as { error: FairleadError }
    expect(error).toMatchObject({ kind: 'cancelled', cause: { message: 'the user left' } })
    await server.aborted(PATH)
    expect(server.seen.requests(PATH)).toBe(1)
  })

  it('answers with the last good value when nobody listens any more', async () => {
    server.on(PATH, fault.json(stock))
    const client = stockClient(server.url)
    await client('A-1')
    await server.refuse()
    expect(await client.detailed('A-1')).toMatchObject({
      value: stock,
      from: 'lastGood',
      error: { code: 'CONNECTION_REFUSED' },
    })
  })

  it('proves that nothing happened where no connection was ever made', async () => {
    await server.refuse()
    const { error } = (await stockClient(server.url).result('A-1')) as { error: FairleadError }
    expect(error).toMatchObject({
      code: 'CONNECTION_REFUSED',
      kind: 'crash',
      effect: 'none',
      retryable: true,
      attempt: 3,
    })
  })
})

describe('recipe any-function', () => {
  const lookup = async (sku: string, signal: AbortSignal): Promise<typeof stock> => {
    const { statusCode, body } = await request(`${server.url}/stock/${sku}`, { signal })
    if (statusCode !== 200) throw Object.assign(new Error(`status ${statusCode}`), { statusCode })
    return (await body.json()) as typeof stock
  }

  it('times out, retries and falls back to its value', async () => {
    server.on(PATH, fault.hangBeforeHead(), fault.status(500), fault.json(stock))
    expect(await anyFunction(lookup)('A-1')).toEqual(stock)
    expect(server.seen.requests(PATH)).toBe(3)
    server.on(PATH, fault.status(500))
    expect(await anyFunction(lookup).detailed('A-1')).toMatchObject({ value: { level: 'unknown' }, from: 'value' })
  })
})

describe('every recipe', () => {
  const recipes = readdirSync(folder).filter((file) => file.endsWith('.ts'))
  it('has at most 40 lines', () => {
    for (const file of recipes)
      expect(readFileSync(new URL(file, folder), 'utf8').split('\n').length, file).toBeLessThanOrEqual(41)
  })
  it('is run by a test', () => {
    const servers = ['postgres', 'eureka', 'consul', 'kubernetes', 'dnsmasq']
    const tests = ['.', ...servers.map((server) => `../conformance/${server}`)]
      .map((path) => new URL(`${path}/`, import.meta.url))
      .flatMap((place) => readdirSync(place).map((file) => readFileSync(new URL(file, place), 'utf8')))
      .join('\n')
    for (const file of recipes) expect(tests, file).toMatch(new RegExp(`from '[./]*/examples/${file}'`))
  })
})
