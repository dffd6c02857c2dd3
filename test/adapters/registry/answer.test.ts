// What an answer means before anybody looks inside.
import { describe, expect, it } from 'vitest'
import { jsonOf, statusError } from '../../../src/adapters/registry/answer.ts'
import type { RegistryAnswer } from '../../../src/adapters/registry/client.ts'

const answer = (status: number, text: string, headers: Record<string, string> = {}): RegistryAnswer => ({
  status,
  headers,
  text,
})

describe('the JSON of an answer', () => {
  it('is what stands in it, also behind a byte order mark', () => {
    expect(jsonOf('a registry', answer(200, '[1]'))).toEqual([1])
    expect(jsonOf('a registry', answer(201, '\uFEFF{"a":1}'))).toEqual({ a: 1 })
  })

  it.each([
    ['', 'nothing'],
    [' \n', 'nothing'],
    ['<?xml version="1.0"?><applications/>', 'XML or HTML'],
    ['\n<!doctype html><h1>Sign in</h1>', 'XML or HTML'],
    ['{"a":', 'something'],
    ['No cluster leader', 'something'],
  ])('is none in %j', (text, said) => {
    expect(() => jsonOf('a registry', answer(200, text, { 'content-type': 'text/x' }))).toThrow(
      expect.objectContaining({
        code: 'REPLY_UNDECODABLE',
        message: expect.stringContaining(`a registry answered ${said} that is no JSON (200, text/x)`),
      }),
    )
  })

  it.each([
    [302, 'UNEXPECTED_REDIRECT'],
    [403, 'FORBIDDEN'],
    [404, 'NOT_FOUND'],
    [429, 'TOO_MANY_REQUESTS'],
    [500, 'SERVER_ERROR'],
    [503, 'UNAVAILABLE'],
  ])('is not looked for after %i', (status, code) => {
    expect(() => jsonOf('a registry', answer(status, '{}'))).toThrow(expect.objectContaining({ code }))
  })
})

describe('the error of a status', () => {
  it('says what the server said, in one short line', () => {
    const error = statusError('Consul', answer(500, `rpc error:\n\n  ${'x'.repeat(1_000)}`))
    expect(error.message).toContain('Consul answered 500: rpc error: xxx')
    expect(error.message.length).toBeLessThan(260)
    expect(error.message).not.toContain('\n')
    expect(statusError('Consul', answer(500, '')).message).toMatch(/Consul answered 500$/)
  })

  it('knows when to come back, and the status', () => {
    const error = statusError('Consul', answer(429, 'slow down', { 'retry-after': '7' }))
    expect(error).toMatchObject({ retryAfterMs: 7_000, details: { status: 429 } })
  })
})
