// What the registrar writes, question by question, and what it makes of answers that a healthy agent does not give.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type ConsulRegistrarOptions, consulRegistrar } from '../../../src/adapters/consul/index.ts'
import type { Endpoint, RegisterOptions, Registration } from '../../../src/core/contracts/source.ts'
import { type FakeClock, fakeClock } from '../../../src/testing/fake-clock.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { type Question, type ScriptedAgent, scriptedAgent, until } from './scripted-agent.ts'

let agent: ScriptedAgent
let clock: FakeClock

beforeEach(async () => {
  agent = await scriptedAgent()
  clock = fakeClock()
})
afterEach(async () => {
  expect(clock.pending).toBe(0)
  await until(() => agent.connections() === 0)
  await agent.close()
})

const endpoint: Endpoint = { id: 'web-1', addresses: [{ host: '10.1.0.1', port: 8080 }] }
const begin = (
  what: Endpoint = endpoint,
  options: Partial<ConsulRegistrarOptions> = {},
  given?: RegisterOptions,
): Promise<Registration> => {
  const registrar = consulRegistrar({ url: agent.url, clock, random: seededRandom(3), ...options })
  return registrar.register('web', what, given)
}
// Answers questions of a healthy agent that holds the entry, until `work` is done.
const healthy = async <T>(work: Promise<T>, process: unknown): Promise<T> => {
  let done = false
  const over = work.finally(() => (done = true))
  let at = agent.questions.length
  while (!done) {
    const question = agent.questions[at]
    if (question === undefined) await new Promise((resolve) => setImmediate(resolve))
    else {
      at++
      if (question.method === 'GET') question.answer(200, { ID: 'web-1', Meta: { 'fairlead-process': process } })
      else question.answer(200, '')
    }
  }
  return over
}
const registered = async (
  what?: Endpoint,
  options?: Partial<ConsulRegistrarOptions>,
): Promise<[Registration, Question]> => {
  const registering = begin(what, options)
  const question = await agent.next()
  question.answer(200, '')
  return [await registering, question]
}
const processOf = (question: Question): string => question.body.Meta['fairlead-process']

describe('what is announced', () => {
  it('is a service with one check that lives by signs of life', async () => {
    const [registration, question] = await registered(endpoint, { tags: ['v2'], token: 'secret', namespace: 'team' })
    expect([question.method, question.path]).toEqual(['PUT', '/v1/agent/service/register'])
    expect(Object.fromEntries(question.query)).toEqual({ ns: 'team', 'replace-existing-checks': 'true' })
    expect(question.headers['x-consul-token']).toBe('secret')
    expect(question.body).toEqual({
      ID: 'web-1',
      Name: 'web',
      Address: '10.1.0.1',
      Port: 8080,
      Tags: ['v2'],
      Meta: { 'fairlead-id': 'web-1', 'fairlead-process': expect.any(String) },
      Weights: { Passing: 1, Warning: 1 },
      Check: {
        CheckID: 'service:web-1',
        Name: 'Signs of life of the process',
        TTL: '15000ms',
        Status: 'passing',
        DeregisterCriticalServiceAfter: '600000ms',
      },
    })
    await healthy(registration.deregister(), processOf(question))
  })

  it('carries everything an endpoint has', async () => {
    const [registration, question] = await registered({
      ...endpoint,
      addresses: [...endpoint.addresses, { host: 'fd00::1', port: 8081 }],
      ports: { metrics: 9090 },
      hostname: 'web.example',
      secure: true,
      weight: 0.5,
      priority: 2,
      zone: 'a',
      state: 'starting',
      metadata: { version: '2' },
    })
    expect(question.body.TaggedAddresses).toEqual({ 'fairlead-1': { Address: 'fd00::1', Port: 8081 } })
    expect(question.body.Weights.Passing).toBe(1)
    expect(question.body.Check.Status).toBe('warning')
    expect(question.body.Meta).toMatchObject({
      version: '2',
      zone: 'a',
      secure: 'true',
      'fairlead-state': 'starting',
      'fairlead-ports': '{"metrics":9090}',
      'fairlead-priority': '2',
      'fairlead-hostname': 'web.example',
      'fairlead-weight': '0.5',
    })
    await healthy(registration.deregister(), processOf(question))
  })

  it.each([
    [{ metadata: { 'a.b': 'x' } }, /letters, digits/],
    [{ metadata: { a: 'x'.repeat(513) } }, /at most 512/],
    [{ metadata: Object.fromEntries(Array.from({ length: 64 }, (_, n) => [`k${n}`, 'x'])) }, /64 pairs/],
    [{ addresses: [] }, /at least one/],
    [{ id: '..' }, /endpoint.id/],
  ])('is refused where Consul would not take it: %#', async (wrong, message) => {
    await expect(begin({ ...endpoint, ...wrong })).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
      message: expect.stringMatching(message),
    })
    expect(agent.questions.length).toBe(0)
  })

  it.each([[{ deregisterAfterMs: 59_999 }], [{ ttlMs: 0 }], [{ staleMs: -1 }], [{ ttl: 5 }], [{ url: '' }]])(
    'refuses the options %j',
    (wrong) => {
      expect(() => consulRegistrar({ url: agent.url, ...wrong } as never)).toThrow(
        expect.objectContaining({ code: 'INVALID_OPTIONS' }),
      )
    },
  )
})

describe('a sign of life', () => {
  const beat = async (): Promise<void> => {
    // At most the interval: a third of the TTL.
    const before = agent.questions.length
    for (let passed = 0; agent.questions.length === before && passed <= 5_000; passed += 100) {
      await clock.advance(100)
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    await until(() => agent.questions.length > before)
  }

  it('asks whose entry it is, and then says that it lives', async () => {
    const [registration, first] = await registered()
    await beat()
    const whose = await agent.next()
    expect([whose.method, whose.path]).toEqual(['GET', '/v1/agent/service/web-1'])
    whose.answer(200, { Meta: { 'fairlead-process': processOf(first) } })
    const life = await agent.next()
    expect([life.method, life.path, life.body]).toEqual([
      'PUT',
      '/v1/agent/check/update/service:web-1'.replace(':', '%3A'),
      { Status: 'passing', Output: 'ready' },
    ])
    life.answer(200, '')
    await healthy(registration.deregister(), processOf(first))
  })

  it.each([
    ['the entry', 'GET', 404, 'unknown service ID: web-1'],
    ['the check', 'PUT', 404, 'Unknown check ID "service:web-1"'],
    ['the check, in the words of older agents', 'PUT', 500, 'CheckID "x" does not have associated TTL'],
  ])('that says that %s is unknown is followed by registering again', async (_, method, status, text) => {
    const [registration, first] = await registered()
    await beat()
    const whose = await agent.next()
    if (method === 'GET') whose.answer(status, text)
    else {
      whose.answer(200, { Meta: { 'fairlead-process': processOf(first) } })
      ;(await agent.next()).answer(status, text)
    }
    const again = await agent.next()
    expect(again.path).toBe('/v1/agent/service/register')
    expect(processOf(again)).toBe(processOf(first))
    again.answer(200, '')
    await healthy(registration.deregister(), processOf(first))
  })

  it.each([
    ['another process', { Meta: { 'fairlead-process': 'other' } }],
    ['a stranger', { Meta: null }],
  ])('that finds %s there is the last one, and nothing is taken away', async (_, theirs) => {
    const [registration] = await registered()
    const lost: unknown[] = []
    registration.onLost((reason) => lost.push(reason))
    await beat()
    ;(await agent.next()).answer(200, theirs)
    await until(() => lost.length === 1)
    await registration.deregister()
    expect(agent.questions.length).toBe(2)
  })

  it('that fails is told, and given again', async () => {
    const events: string[] = []
    const [registration, first] = await registered(endpoint, {
      onEvent: (event) => events.push((event as { type: string }).type),
    })
    await beat()
    ;(await agent.next()).answer(500, 'rpc error')
    await until(() => events.includes('heartbeat-failed'))
    await beat()
    await healthy(registration.deregister(), processOf(first))
  })
})

describe('the end', () => {
  it('does not take away what another process has announced since', async () => {
    const [registration] = await registered()
    const leaving = registration.deregister()
    ;(await agent.next()).answer(200, { Meta: { 'fairlead-process': 'other' } })
    await leaving
    expect(agent.questions.map(({ method }) => method)).toEqual(['PUT', 'GET'])
  })

  it('is reached although nobody answers', async () => {
    const [registration] = await registered()
    const leaving = registration.deregister()
    await agent.next()
    await clock.advance(5_000)
    await leaving
  })
})

describe('registering', () => {
  it.each([
    [403, 'Permission denied', 'FORBIDDEN'],
    [400, 'Invalid check', 'BAD_REQUEST'],
    [500, 'No cluster leader', 'SERVER_ERROR'],
  ])('that is answered %i rejects with a code', async (status, text, code) => {
    const registering = begin()
    const settled = expect(registering).rejects.toMatchObject({ code })
    ;(await agent.next()).answer(status, text)
    // It may be there all the same: then it is taken back.
    if (status >= 500) (await agent.next()).answer(404, '')
    await settled
  })

  it('that nobody answers rejects in time', async () => {
    const registering = begin(endpoint, { timeoutMs: 700 })
    const settled = expect(registering).rejects.toMatchObject({ code: 'ATTEMPT_TIMEOUT' })
    await agent.next()
    await clock.advance(700)
    expect((await agent.next()).method).toBe('GET')
    await clock.advance(700)
    await settled
  })
})

describe('a change of state', () => {
  it('to ready brings the check first, so that no meta that says ready stands beside one that does not', async () => {
    const [registration, first] = await registered({ ...endpoint, state: 'starting' })
    const changing = registration.setState('ready')
    ;(await agent.next()).answer(200, { Meta: { 'fairlead-process': processOf(first) } })
    const check = await agent.next()
    expect(check.body).toEqual({ Status: 'passing', Output: 'ready' })
    check.answer(200, '')
    const service = await agent.next()
    expect(service.body.Meta).not.toHaveProperty('fairlead-state')
    service.answer(200, '')
    await changing
    await healthy(registration.deregister(), processOf(first))
  })

  it.each([
    ['draining', 'critical'],
    ['down', 'critical'],
    ['starting', 'warning'],
  ] as const)('to %s is %s for everybody else', async (state, status) => {
    const [registration, first] = await registered()
    const changing = registration.setState(state)
    ;(await agent.next()).answer(200, { Meta: { 'fairlead-process': processOf(first) } })
    const service = await agent.next()
    expect([service.body.Meta['fairlead-state'], service.body.Check.Status]).toEqual([state, status])
    service.answer(200, '')
    await changing
    await healthy(registration.deregister(), processOf(first))
  })
})
