// Requests whose handler has the form before undici 7, as `request()` of undici 7 has: handed on as they are, and counted as all others.
import { Agent } from 'undici'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { discoveryDispatcher } from '../../../src/adapters/http/discovery-dispatcher.ts'
import { isOldHandler, takesOldHandlers } from '../../../src/adapters/http/old-handlers.ts'
import type { Lease, Outcome, Resolver } from '../../../src/core/contracts/balancer.ts'
import { createFaultServer, type FaultServer, fault } from '../../../src/testing/fault-server/index.ts'

// undici 8 has no such handlers.
const old = takesOldHandlers()

describe.runIf(old)('handlers of the older form', () => {
  let server: FaultServer
  let dispatcher: ReturnType<typeof discoveryDispatcher>
  const outcomes: Outcome[] = []

  beforeEach(async () => {
    server = await createFaultServer()
    outcomes.length = 0
    const endpoint = { id: 'one', addresses: [{ host: '127.0.0.1', port: Number(new URL(server.url).port) }] }
    const lease = { endpoint, report: (outcome: Outcome) => void outcomes.push(outcome) } as Lease
    const resolver = { acquire: () => lease, untried: () => 1, refresh() {} } as unknown as Resolver
    dispatcher = discoveryDispatcher({ resolver: () => resolver } as never)
  })
  afterEach(async () => {
    await dispatcher.destroy()
    await server.close()
  })

  const send = (through: { dispatch(request: object, handler: object): boolean }, origin: string, abort = false) =>
    new Promise<{ readonly headers: unknown; readonly thrown?: Error }>((resolve) => {
      let headers: unknown
      const handler = {
        onConnect(stop: (reason: Error) => void) {
          if (abort) stop(new Error('enough'))
        },
        onHeaders(_status: number, raw: unknown) {
          headers = raw
          return true
        },
        onData: () => true,
        onComplete: () => resolve({ headers }),
        onError: (thrown: Error) => resolve({ headers, thrown }),
      }
      expect(isOldHandler(handler)).toBe(true)
      through.dispatch({ origin, path: '/', method: 'GET' }, handler)
    })

  it('get the headers as undici read them', async () => {
    server.on('/', fault.json('ok'))
    const { headers } = await send(dispatcher, 'http://inventory')
    const agent = new Agent()
    const direct = await send(agent, server.url)
    await agent.destroy()
    const names = (raw: unknown) => (raw as Buffer[]).filter((_, at) => at % 2 === 0).map(String)
    expect(names(headers)).toEqual(names(direct.headers))
    expect((headers as unknown[]).every((each) => Buffer.isBuffer(each))).toBe(true)
    expect(outcomes.map(({ kind }) => kind)).toEqual(['success'])
  })

  it('tell the balancer of an overload, with its Retry-After', async () => {
    server.on('/', fault.status(503, { headers: { 'Retry-After': '7' } }))
    await send(dispatcher, 'http://inventory')
    expect(outcomes).toMatchObject([{ kind: 'overload', retryAfterMs: 7_000 }])
  })

  it('tell an abort of the caller from a failure', async () => {
    server.on('/', fault.json('ok'))
    const { thrown } = await send(dispatcher, 'http://inventory', true)
    expect(thrown?.message).toBe('enough')
    expect(outcomes.map(({ kind }) => kind)).toEqual(['cancelled'])
  })

  it('hear that nothing could be sent', async () => {
    await server.close()
    const { thrown } = await send(dispatcher, 'http://inventory')
    expect(thrown).toMatchObject({ code: 'ECONNREFUSED' })
    expect(outcomes.map(({ kind }) => kind)).toEqual(['not-sent'])
  })
})
