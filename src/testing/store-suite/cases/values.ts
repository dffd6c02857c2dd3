// What a row carries: it comes out as it went in, and keys that differ in anything are different keys.
import type { Envelope } from '../../../core/message.ts'
import { isFairleadError } from '../../../errors/base.ts'
import { type StoreCase, storeCase } from '../case.ts'
import { type Desk, queue } from '../desk.ts'
import { demand, same } from '../expect.ts'

const UNICODE = 'zwölf \u{1F41F} \u0628\u062D\u0631 \u4E2D\u6587 \u202E e\u0301 "\'`\\ \t\r\n ; -- $1 ? %s {}'
const LONG = 'k'.repeat(10_000)

// Envelopes that went through, with what each of them is.
const envelopes: readonly (readonly [what: string, change: Partial<Envelope>])[] = [
  ['nothing but an id', { attributes: {}, body: new Uint8Array() }],
  ['a body of every byte', { body: Uint8Array.from({ length: 256 }, (_, at) => at) }],
  ['a body that is no UTF-8', { body: new Uint8Array([0xff, 0xfe, 0x00, 0xc3, 0x28]) }],
  ['a key of odd letters', { key: UNICODE }],
  ['an empty key', { key: '' }],
  ['a key of 10,000 characters', { key: LONG }],
  ['a key of 10,000 fishes', { key: '\u{1F41F}'.repeat(10_000) }],
  ['a channel of odd letters', {}],
  ['headers of odd letters', { headers: { plain: 'text', odd: UNICODE, empty: '', __proto: 'x', 'x-2': '2' } }],
  [
    'attributes of odd letters',
    { attributes: { specversion: '1.0', subject: UNICODE, empty: '', time: '2026-01-01T00:00:00.123456789Z' } },
  ],
  ['a priority', { priority: 9 }],
  ['a priority below zero', { priority: -2_147_483_648 }],
  ['priority 0', { priority: 0 }],
  ['notBefore', { notBefore: 1_767_225_600_123 }],
  ['expiresAt', { expiresAt: 8_640_000_000_000_000 }],
  [
    'everything',
    { key: UNICODE, priority: 3, notBefore: 1, expiresAt: 2, headers: { a: 'b' }, body: new Uint8Array([0]) },
  ],
]

// Keys that must not be taken for one another.
const pairs: readonly (readonly [what: string, one: string, another: string])[] = [
  ['case', 'key', 'KEY'],
  ['a space behind', 'key', 'key '],
  ['a space before', 'key', ' key'],
  ['accents', 'resume', 'r\u00E9sum\u00E9'],
  ['composed and decomposed letters', '\u00E9', 'e\u0301'],
  ['\u00DF and ss', 'stra\u00DFe', 'strasse'],
  ['the last of 10,000 characters', `${LONG}a`, `${LONG}b`],
  ['a line break', 'key', 'key\n'],
  ['letters beyond the basic plane', '\u{1F41F}', '\u{1F420}'],
  ['an empty one', '', ' '],
]

// The first key is blocked by a dead row of its own: whether rows of the second go on shows whether they are taken for one.
async function areApart(
  { row, publish, relay, store }: Desk,
  what: string,
  one: string,
  another: string,
): Promise<void> {
  const held = await relay(`relay of ${what}`)
  const id = (name: string): string => `${what}/${name}`
  await publish([row(id('1'), { key: one }), row(id('2'), { key: another }), row(id('3'), { key: one })])
  const pending = await held.ids()
  same(
    pending.filter((each) => each.startsWith(`${what}/`)).sort(),
    [id('1'), id('2'), id('3')],
    `rows of keys that differ in ${what}`,
  )
  await held.settle({ [id('1')]: { verdict: 'dead', reason: 'suite', blocksKey: true } })
  same(
    (await held.ids()).filter((each) => each.startsWith(`${what}/`)),
    [id('2')],
    `what may go on while ${JSON.stringify(one.slice(-8))} is blocked and ${JSON.stringify(another.slice(-8))} is not (${what})`,
  )
  await held.release()
  same(await store.outbox.skip([id('1'), id('2'), id('3')]), 3, 'how many were skipped')
}

export const valueCases: readonly StoreCase[] = [
  storeCase('gives envelopes out as they came in', async ({ row, publish, relay }) => {
    const rows = envelopes.map(([what, change]) =>
      row(`id of ${what} ${UNICODE}`, { ...change, channel: what.startsWith('a channel') ? UNICODE : 'plain' }),
    )
    await publish(rows)
    const pending = await (await relay()).pending()
    for (const [at, { channel, envelope }] of rows.entries()) {
      const found = pending.find((each) => each.envelope.id === envelope.id)
      demand(found !== undefined, `a row with ${envelopes[at]?.[0]} is lost`)
      same(found.channel, channel, `the channel of a row with ${envelopes[at]?.[0]}`)
      same(plain(found.envelope), plain(envelope), `a row with ${envelopes[at]?.[0]}`)
      demand(found.envelope.body instanceof Uint8Array, 'the body is a Uint8Array')
    }
    same(pending.length, rows.length, 'how many rows there are')
  }),

  storeCase('gives queues and topics out as what they are', async ({ store, row, relay }) => {
    const rows = (['queue', 'topic'] as const).map((kind) => ({ ...row(`k:${kind}`), channel: { kind, name: 'same' } }))
    await store.transaction((tx) => store.outbox.append(tx, rows))
    const pending = await (await relay()).pending()
    same(
      pending.map(({ channel }) => channel.kind),
      ['queue', 'topic'],
      'the kinds of channels',
    )
  }),

  storeCase('takes a body of 1 MiB', async ({ row, publish, relay }) => {
    const body = new Uint8Array(1_048_576)
    for (let at = 0; at < body.length; at++) body[at] = (at * 31 + (at >> 8)) & 0xff
    await publish([row('k:large', { body })])
    const [found] = await (await relay()).pending()
    demand(Buffer.compare(found?.envelope.body ?? new Uint8Array(), body) === 0, 'the body came out otherwise')
  }),

  storeCase('takes ids of 1,000 characters, and settles by them', async ({ row, store, publish, relay, dead }) => {
    const ids = ['a', 'b'].map((end) => `${'i'.repeat(999)}${end}`)
    await publish(ids.map((id) => row(id)))
    const held = await relay()
    same([...(await held.ids())].sort(), ids, 'ids')
    await held.settle({ [ids[0] as string]: { verdict: 'dead', reason: 'r'.repeat(5_000), blocksKey: false } })
    same(
      (await dead()).map(({ envelope }) => envelope.id),
      [ids[0]],
      'the dead one',
    )
    same(await store.outbox.skip(ids), 2, 'how many were skipped')
  }),

  storeCase('refuses keys and ids with a NUL, or gives them out whole', async ({ row, publish, relay, store }) => {
    for (const each of [row('nul', { key: 'a\u0000b' }), row('n\u0000ul')]) {
      try {
        await publish([each])
      } catch (error) {
        same(isFairleadError(error) ? error.code : String(error), 'INVALID_INPUT', 'the code of the refusal')
        continue
      }
      const held = await relay()
      const [found] = await held.pending()
      same([found?.envelope.id, found?.envelope.key], [each.envelope.id, each.envelope.key], 'what came out')
      await store.outbox.skip([each.envelope.id])
    }
    await publish(['after'])
    same(await (await relay()).ids(), ['after'], 'rows')
  }),

  storeCase('keeps what it was given, whatever becomes of that afterwards', async ({ store, relay, row }) => {
    const body = new Uint8Array([1, 2, 3])
    const headers: Record<string, string> = { a: 'b' }
    await store.transaction(async (tx) => {
      await store.outbox.append(tx, [row('k:1', { body, headers })])
      body[0] = 9
      headers['a'] = 'changed'
    })
    body[1] = 9
    const [found] = await (await relay()).pending()
    same([[...(found?.envelope.body ?? [])], found?.envelope.headers], [[1, 2, 3], { a: 'b' }], 'what came out')
  }),

  ...pairs.map(([what, one, another]) =>
    storeCase(`tells keys apart that differ in ${what}`, async (desk) => {
      await areApart(desk, 'one', one, another)
      await areApart(desk, 'other', another, one)
    }),
  ),

  storeCase(
    'puts rows of one key in one partition, and spreads rows without a key',
    async ({ row, publish, relay }) => {
      await publish([
        ...Array.from({ length: 30 }, (_, at) => row(`k:${at}`)),
        ...Array.from({ length: 400 }, (_, at) => row(`keyless-${at}`)),
      ])
      const held = await relay()
      const pending = await held.pending()
      const partitions = (start: string): number =>
        new Set(pending.filter(({ envelope }) => envelope.id.startsWith(start)).map(({ partition }) => partition)).size
      same(partitions('k:'), 1, 'partitions of one key')
      demand(
        partitions('keyless-') > held.partitions.length / 2,
        `400 rows without a key are in ${partitions('keyless-')} of ${held.partitions.length} partitions`,
      )
    },
  ),

  storeCase('blocks a key on its own channel only', async ({ row, publish, relay, store }) => {
    await publish([
      row('k:1', { channel: 'a' }),
      row('k:2', { channel: 'b' }),
      row('k:3', { channel: 'a' }),
      row('k:4', { channel: 'b' }),
    ])
    await store.transaction((tx) =>
      store.outbox.append(tx, [{ ...row('k:5'), channel: { ...queue('a'), kind: 'topic' } }]),
    )
    const held = await relay()
    await held.ids()
    await held.settle({ 'k:1': { verdict: 'dead', reason: 'suite', blocksKey: true } })
    same(await held.ids(), ['k:2', 'k:4', 'k:5'], 'what may go on')
    await held.settle({ 'k:2': { verdict: 'retry', delayMs: 100_000, reason: 'suite' } })
    same(await held.ids(), ['k:5'], 'what may go on then')
  }),
]

function plain({ body, ...rest }: Envelope): object {
  return { ...rest, headers: { ...rest.headers }, attributes: { ...rest.attributes }, body: [...body] }
}
