import { describe, expect, test } from 'vitest'
import type { TransportCapabilities } from '../../src/core/contracts/transport.ts'
import { FairleadError } from '../../src/errors/index.ts'
import { type Needs, requireCapabilities, unmetNeeds } from '../../src/messaging/capabilities.ts'
import { chooseAmong, explainChoice, type TransportProfile } from '../../src/messaging/choose.ts'

const WEAK: TransportCapabilities = {
  modes: ['topic'],
  order: 'none',
  delivery: 'at-most-once',
  persistent: false,
  durableSubscriptions: false,
  acknowledged: 'configured',
  competingConsumers: false,
  dedupeWindowMs: 0,
  redeliveryCount: 'none',
  delay: 'none',
  maxDelayMs: 0,
  extend: false,
  nack: 'none',
  priority: false,
  replay: false,
  temporary: false,
  deadLetters: 'none',
  unroutable: 'silent',
  waiting: 'leased',
  maxPayloadBytes: 1_000,
  latency: 'polling',
  scaleUnit: 'one',
  protocols: ['HTTP'],
}

const STRONG: TransportCapabilities = {
  modes: ['queue', 'topic'],
  order: 'channel',
  delivery: 'at-least-once',
  persistent: true,
  durableSubscriptions: true,
  acknowledged: 'handled',
  competingConsumers: true,
  dedupeWindowMs: 60_000,
  redeliveryCount: 'broker',
  delay: 'native',
  maxDelayMs: 3_600_000,
  extend: true,
  nack: 'either',
  priority: true,
  replay: true,
  temporary: true,
  deadLetters: 'native',
  unroutable: 'impossible',
  waiting: 'counted',
  maxPayloadBytes: 1_000_000,
  latency: 'microseconds',
  scaleUnit: 'many',
  protocols: ['SQL'],
}

const EVERY: Required<Needs> = {
  modes: ['queue', 'topic'],
  order: 'key',
  delivery: 'at-least-once',
  persistent: true,
  durableSubscriptions: true,
  acknowledged: 'disk',
  competingConsumers: true,
  dedupeWindowMs: 60_000,
  redeliveryCount: true,
  delayMs: 60_000,
  extend: true,
  nack: 'block',
  priority: true,
  replay: true,
  temporary: true,
  deadLetters: true,
  unroutable: 'detected',
  waiting: 'counted',
  payloadBytes: 1_001,
  latency: 'milliseconds',
  protocol: 'sql',
}

describe('unmetNeeds', () => {
  test.each(Object.keys(EVERY))('%s: the strong one meets it, the weak one does not', (name) => {
    const needs = { [name]: EVERY[name as keyof Needs] }
    expect(unmetNeeds(STRONG, needs)).toEqual([])
    expect(unmetNeeds(WEAK, needs)).toMatchObject([{ need: name }])
  })

  test('what is not asked for does not matter', () => {
    const nothing: Needs = { persistent: false, redeliveryCount: false, deadLetters: false, order: undefined }
    expect(unmetNeeds(WEAK, nothing)).toEqual([])
    expect(unmetNeeds(WEAK, {})).toEqual([])
  })

  test.each([
    ['order', 'channel', { order: 'key' }, 1],
    ['order', 'none', { order: 'key' }, 0],
    ['acknowledged', 'replicated', { acknowledged: 'disk' }, 1],
    ['acknowledged', 'memory', { acknowledged: 'configured' }, 1],
    ['redeliveryCount', 'broker', { redeliveryCount: 'emulated' }, 1],
    ['redeliveryCount', true, { redeliveryCount: 'emulated' }, 0],
    ['deadLetters', 'native', { deadLetters: 'emulated' }, 1],
    ['nack', 'requeue', { nack: 'block' }, 1],
    ['delayMs', 3_600_001, {}, 1],
    ['delayMs', 3_600_000, {}, 0],
    ['modes', 'queue', { modes: ['topic'] }, 1],
    ['modes', 'topic', { modes: ['topic'] }, 0],
    ['latency', 'polling', { latency: 'milliseconds' }, 0],
  ])('%s %s', (need, needed, promised, unmet) => {
    const capabilities = { ...STRONG, ...promised } as TransportCapabilities
    expect(unmetNeeds(capabilities, { [need]: needed })).toHaveLength(unmet)
  })

  test('a need that there is not is refused', () => {
    expect(() => unmetNeeds(STRONG, { ordered: true } as Needs)).toThrow(/needs\.ordered.*it has modes, order/)
  })

  test.each<[string, unknown, RegExp]>([
    ['order', 'Key', /give none, key, channel/],
    ['delivery', 'exactly-once', /give at-most-once, at-least-once/],
    ['acknowledged', 'disc', /give memory, disk, replicated, handled/],
    ['acknowledged', 'configured', /give memory/],
    ['latency', 'ms', /give polling, milliseconds, microseconds/],
    ['waiting', 'count', /give counted/],
    ['unroutable', 'x', /give detected/],
    ['nack', 'none', /give requeue, block/],
    ['modes', [], /give queue, topic or both/],
    ['modes', ['queue', 'topics'], /give queue, topic/],
    ['modes', 'stream', /give queue, topic/],
    ['persistent', 'no', /give true, false/],
    ['replay', 1, /give true, false/],
    ['redeliveryCount', 'emulated', /give true, false, broker/],
    ['deadLetters', 'yes', /give true, false, native/],
    ['dedupeWindowMs', '1000', /give milliseconds/],
    ['delayMs', Number.NaN, /give milliseconds/],
    ['delayMs', -1, /give milliseconds/],
    ['payloadBytes', 0.5, /give a whole number/],
    ['protocol', 5, /give the name of a protocol/],
    ['order', null, /give none/],
  ])('a value that %s does not have is refused: %o', (need, needed, fix) => {
    const needs = { [need]: needed } as Needs
    for (const capabilities of [STRONG, WEAK]) {
      expect(() => unmetNeeds(capabilities, needs)).toThrow(fix)
      expect(() => requireCapabilities({ name: 'one', capabilities }, needs)).toThrow(
        expect.objectContaining({ code: 'INVALID_OPTIONS', details: { option: `needs.${need}` } }),
      )
    }
  })
})

describe('requireCapabilities', () => {
  test('is silent where all is promised', () => {
    expect(requireCapabilities({ name: 'strong', capabilities: STRONG }, EVERY)).toBeUndefined()
  })

  test('compares line by line, and says what could be done', () => {
    const refused = (): void =>
      requireCapabilities({ name: 'weak', capabilities: WEAK }, { order: 'key', persistent: true, priority: true })
    expect(refused).toThrow(FairleadError)
    try {
      refused()
    } catch (error) {
      expect(error).toMatchObject({ code: 'CAPABILITY_MISSING', effect: 'none', transport: 'weak' })
      expect((error as FairleadError).message.split('\n')).toEqual([
        '[CAPABILITY_MISSING] transport weak does not promise what is needed:',
        '  order       needed key  promised none  (number the messages of a key, and let the receiver keep the newest)',
        '  persistent  needed yes  promised no    (publish through an outbox: the row stays until the message is accepted)',
        '  priority    needed yes  promised no',
      ])
      expect((error as FairleadError).details).toMatchObject({ unmet: [{ need: 'order' }, {}, {}] })
    }
  })
})

describe('chooseAmong', () => {
  const profile = (name: string, over: Partial<TransportProfile>): TransportProfile => ({
    name,
    from: `fairlead/${name}`,
    capabilities: STRONG,
    languages: 'any',
    standards: ['HTTP'],
    messagesPerSecond: 10_000,
    note: 'a note.',
    ...over,
  })
  const strong = profile('strong', { server: 'a database' })
  const light = profile('light', { messagesPerSecond: 1_000 })
  const weak = profile('weak', { capabilities: WEAK, languages: ['node'], standards: [] })
  const names = (judgements: readonly { profile: TransportProfile }[]) =>
    judgements.map(({ profile: { name } }) => name)

  test('those that fit: without a server first', () => {
    const { fits, nearly, not } = chooseAmong([strong, light, weak], { order: 'key', priority: true })
    expect([names(fits), names(nearly), names(not)]).toEqual([['light', 'strong'], [], ['weak']])
  })

  test('one that lacks one thing, or only what can be made up for, nearly fits', () => {
    expect(names(chooseAmong([weak], { priority: true }).nearly)).toEqual(['weak'])
    expect(names(chooseAmong([weak], { persistent: true, dedupeWindowMs: 1, order: 'key' }).nearly)).toEqual(['weak'])
    expect(names(chooseAmong([weak], { priority: true, extend: true }).not)).toEqual(['weak'])
  })

  test.each([
    [{ language: 'Java' }, 'language'],
    [{ standard: 'http' }, 'standard'],
    [{ messagesPerSecond: 20_000 }, 'messagesPerSecond'],
  ])('%o is held against it', (needs, need) => {
    const { nearly } = chooseAmong([weak], needs)
    expect(nearly[0]?.unmet).toMatchObject([{ need }])
  })

  test('a server may be unwanted', () => {
    expect(names(chooseAmong([strong, light], { serverAllowed: false }).fits)).toEqual(['light'])
  })

  test('in words: why, and what could be done', () => {
    const words = explainChoice(chooseAmong([strong, light, weak], { order: 'key', priority: true }))
    expect(words).toBe(
      [
        'Fits:',
        '  light (fairlead/light, no server): a note.',
        '  strong (fairlead/strong, needs a database): a note.',
        'Does not fit:',
        '  weak (fairlead/weak, no server): a note.',
        '    order: needed key, promised none; number the messages of a key, and let the receiver keep the newest',
        '    priority: needed yes, promised no',
      ].join('\n'),
    )
  })

  test('a misspelt need is refused', () => {
    expect(() => chooseAmong([strong], { serverAllowed: 'no' } as never)).toThrow(/serverAllowed/)
    expect(() => chooseAmong([strong], { speed: 1 } as never)).toThrow(/needs\.speed/)
    expect(() => chooseAmong([strong], { order: 'Key' } as never)).toThrow(/needs\.order/)
    expect(() => chooseAmong([strong], { language: 1 } as never)).toThrow(/language/)
  })
})
