// One pushed request from its arrival to its answer.

import { bytesAbove } from '../../core/envelope.ts'
import { DEADLINE_HEADER, readDeadline } from '../../core/http-wire.ts'
import type { ChannelAddress, Envelope } from '../../core/message.ts'
import { isFairleadError } from '../../errors/base.ts'
import { fromHttp } from '../../messaging/cloudevents/http.ts'
import { mediaTypeOf } from '../../messaging/codec.ts'
import { Held } from './held.ts'
import type { HttpPushSettings } from './options.ts'
import type { LocalPlaces } from './places.ts'
import { busy, Gathering, notHere, type PushReply, type PushRequest, problem } from './request.ts'
import { CHANNEL_HEADER, decoded, GROUP_HEADER, LIVE, placeName, REDELIVERIES_HEADER, readChannel } from './wire.ts'

/** What the receiving half serves with. */
export interface Serving {
  readonly settings: HttpPushSettings
  readonly places: LocalPlaces
  readonly closing: () => boolean
}

// How soon a sender may come again when too many wait or nobody is there, and when this process goes down.
const SOON_MS = 250
const CLOSING_MS = 1_000
// A sender that is gone without a word must not hold a place for ever, whatever it said.
const MOST_LEASE_MS = 3_600_000

/** Answers. Never rejects. */
export async function serve(serving: Serving, request: PushRequest): Promise<PushReply> {
  try {
    return await answer(serving, request)
  } catch (error) {
    if (!isFairleadError(error))
      return problem({ code: 'SERVER_ERROR', message: 'the request could not be read', effect: 'none' })
    const { code, message } = error
    return problem({ code, message: message.slice(code.length + 3), effect: 'none' })
  }
}

async function answer(serving: Serving, request: PushRequest): Promise<PushReply> {
  const { settings, places } = serving
  if (serving.closing()) return closing()
  if (request.method !== 'POST')
    return problem({
      code: 'BAD_REQUEST',
      message: 'messages are pushed by POST',
      effect: 'none',
      status: 405,
      headers: { allow: 'POST' },
    })
  const said = addressee(request, settings.basePath, places)
  if (typeof said === 'string') return notHere(undefined, said)
  // What cannot be taken is refused before its body is read.
  const targets = places.meant(said.channel, said.group)
  if (targets.length === 0) {
    const live = said.group === LIVE || said.group === undefined
    if (live && places.hadLive(said.channel)) return busy('nobody receives this at the moment', SOON_MS)
    return notHere(said.channel, placeName({ ...said.channel, group: said.group }))
  }
  if (targets.some((place) => !place.served)) return busy('nobody receives this at the moment', SOON_MS)
  if (targets.some((place) => place.room <= 0)) return tooMany()
  const read = await envelopesOf(request, settings)
  if (!Array.isArray(read)) return read as PushReply
  // Reading took its time: the receiver may be gone by now.
  if (serving.closing()) return closing()
  if (targets.some((place) => !place.served)) return busy('nobody receives this at the moment', SOON_MS)
  // So may the room, and nobody knew how many a batch would bring.
  const { length } = read as readonly Envelope[]
  if (length > 1 && targets.some((place) => length > place.most))
    return problem({
      code: 'PAYLOAD_TOO_LARGE',
      message: `a batch of ${length} messages is more than is taken here at once`,
      effect: 'none',
      status: 413,
    })
  if (targets.some((place) => length > place.room)) return tooMany()
  const waits = readDeadline(request.header(DEADLINE_HEADER))
  const leaseMs = waits !== undefined && waits > 0 ? Math.min(waits, MOST_LEASE_MS) : settings.leaseMs
  const gathering = new Gathering(settings.clock, leaseMs)
  const redeliveries = countOf(request.header(REDELIVERIES_HEADER))
  const arrived = (read as readonly Envelope[]).flatMap((envelope) =>
    targets.map((place) => new Held(envelope, redeliveries, place, gathering)),
  )
  for (const held of arrived) held.place.arrive(held)
  gathering.finish()
  request.onGone(() => gathering.end('the sender hung up'))
  return gathering.answer
}

function closing(): PushReply {
  return busy('this receiver is closing', CLOSING_MS)
}

function tooMany(): PushReply {
  return busy('too many messages wait here', SOON_MS)
}

interface Addressee {
  readonly channel: ChannelAddress
  readonly group: string | undefined
}

// A header says it, or the path: /orders/billing. In words where neither does.
function addressee(request: PushRequest, basePath: string, places: LocalPlaces): Addressee | string {
  const header = request.header(CHANNEL_HEADER)
  const group = request.header(GROUP_HEADER)
  if (header !== undefined) {
    const channel = readChannel(header)
    const decodedGroup = group === undefined ? undefined : decoded(group)
    if (channel === undefined || (group !== undefined && decodedGroup === undefined))
      return `${CHANNEL_HEADER} and ${GROUP_HEADER} cannot be read`
    return { channel, group: channel.kind === 'queue' ? undefined : decodedGroup }
  }
  const { path } = request
  if (basePath !== '' && !path.startsWith(`${basePath}/`)) return `nothing is received at ${path}`
  const [name, last, ...more] = path
    .slice(basePath.length + 1)
    .split('/')
    .map(decoded)
  if (name === undefined || name === '' || more.length > 0)
    return `the path names no channel, and there is no header ${CHANNEL_HEADER}`
  const kind = places.kindOf(name)
  if (kind === undefined || (kind === 'queue' && last !== undefined)) return `nobody receives ${name} here`
  return { channel: { kind, name }, group: last === undefined || last === '' ? undefined : last }
}

async function envelopesOf(
  request: PushRequest,
  { maxPayloadBytes, signing, clock }: HttpPushSettings,
): Promise<readonly Envelope[] | PushReply> {
  // Structured mode writes bytes as base64 and escapes text: the limit of the message itself is checked once it is decoded.
  const body = await request.collect(maxPayloadBytes * 2 + 65_536)
  const tooLarge = problem({
    code: 'PAYLOAD_TOO_LARGE',
    message: `messages of more than ${maxPayloadBytes} bytes are not taken`,
    effect: 'none',
    status: 413,
  })
  if (body === undefined) return tooLarge
  if (signing !== undefined) {
    const structured = mediaTypeOf(request.header('content-type') ?? '').startsWith('application/cloudevents')
    const fault =
      structured || signing.acceptBinary
        ? signing.fault((name) => request.header(name), body, clock.wallNow())
        : 'the signature covers the body only: send the event in structured mode'
    if (fault !== undefined) return problem({ code: 'SIGNATURE_INVALID', message: fault, effect: 'none', status: 401 })
  }
  const envelopes = fromHttp(request.headers(), body)
  return envelopes.some((envelope) => bytesAbove(maxPayloadBytes, envelope) !== undefined) ? tooLarge : envelopes
}

function countOf(value: string | undefined): number {
  return value !== undefined && /^\d{1,9}$/.test(value) ? Number(value) : 0
}
