// One message to one route, until a subscriber has it, none wants it, or no further try would fit into the time.
import type { FairleadError } from '../../errors/base.ts'
import { createError, withFields } from '../../errors/classes.ts'
import type { Effect } from '../../errors/codes.ts'
import type { Answer } from './exchange.ts'
import type { HttpPushSettings } from './options.ts'
import type { Route, Target } from './routes.ts'
import type { Scope } from './scope.ts'
import { placeName } from './wire.ts'

/** What became of a message on a route. `over`: every subscription of the route is over. */
export type Outcome =
  | { readonly kind: 'acked' }
  | { readonly kind: 'over' }
  | {
      readonly kind: 'failed'
      readonly error: FairleadError
      /** A subscriber refused the message for good. */
      readonly dead: boolean
    }

/** One try. `attempt` is counted from 1. */
export type Try = (target: Target, attempt: number, handedOut: number) => Promise<Answer>

/** What is kept of a message on a route from one send to the next. */
export interface Tally {
  /** How often it may have been handed out. */
  handedOut: number
}

interface Turn {
  readonly target: Target
  /** When it may be tried next, on the scale of the clock. */
  at: number
  failures: number
  /** It cannot take this message, whatever happens elsewhere: nobody there receives the channel, or there is no way to it. */
  useless: boolean
}

/**
 * Delivers. Never rejects.
 * @param refresh looks up again where the route leads, before another round and around each pause: whoever failed may have been replaced
 */
export async function deliver(
  route: Route,
  scope: Scope,
  settings: HttpPushSettings,
  tally: Tally,
  send: Try,
  refresh: () => Promise<void>,
): Promise<Outcome> {
  const { clock } = settings
  let turns: readonly Turn[] = route.rotation().map(turnOf)
  let last: FairleadError | undefined
  let effect: Effect = 'none'
  let nowhere = 0
  let asked = false
  const failed = (error: FairleadError, dead: boolean = false): Outcome => ({
    kind: 'failed',
    error: error.effect === effect ? error : withFields(error, { effect }),
    dead,
  })
  const ended = (): Outcome => failed(last ?? (scope.ending as NonNullable<Scope['ending']>)(effect))
  // No pause is begun that would outlive the send: whoever asked learns the last real error now, and may keep the message.
  const fits = (wait: number): boolean => wait < scope.remainingMs()
  for (let attempt = 1; ; ) {
    turns = merged(turns, route)
    const turn = soonest(turns)
    if (turn === undefined) {
      if (route.over) return { kind: 'over' }
      last ??= nobodyThere(route, settings)
      const wait = pause(last, nowhere++, settings)
      if (!fits(wait)) return failed(last)
      if (!(await scope.sleep(wait))) return ended()
      await refresh()
      continue
    }
    // All have failed: before one is tried again, and before a pause as after it, it is asked who else is there by now.
    if (turn.failures > 0 && !asked) {
      asked = true
      await refresh()
      continue
    }
    const wait = turn.at - clock.now()
    if (wait > 0) {
      if (last !== undefined && !fits(wait)) return failed(last)
      if (!(await scope.sleep(wait))) return ended()
      asked = false
      continue
    }
    asked = false
    if (!(await route.slots.take(scope))) return ended()
    const answer = route.has(turn.target) ? await send(turn.target, attempt++, tally.handedOut) : undefined
    route.slots.release()
    if (answer === undefined) continue
    const { error, status } = answer
    if (error === undefined) return { kind: 'acked' }
    if (status === 410) {
      if (route.leave(turn.target))
        settings.tell({ type: 'subscription-over', place: route.place, url: turn.target.url })
      continue
    }
    if (error.effect !== 'none') {
      effect = 'unknown'
      tally.handedOut++
    }
    const overload = status === 429 || status === 503
    turn.useless = status === 404 || (status === 0 && !error.transient)
    if (!overload && !error.transient && !turn.useless) return failed(error, true)
    if (turns.every(({ useless }) => useless))
      return failed(error, status === 404 && error.code !== 'CHANNEL_NOT_FOUND')
    // What one of several lacks is not the word of all.
    if (!turn.useless) last = overload && !error.transient ? withFields(error, { transient: true }) : error
    last ??= error
    const until = clock.now() + pause(error, turn.failures++, settings)
    turn.at = until
    if (answer.givenBack) for (const each of turns) each.at = Math.max(each.at, until)
  }
}

function turnOf(target: Target): Turn {
  return { target, at: -Infinity, failures: 0, useless: false }
}

// The route may lead elsewhere by now. An empty list says that nobody is known at the moment: those known before are tried on.
function merged(turns: readonly Turn[], route: Route): readonly Turn[] {
  const { targets } = route
  if (targets.length === 0) return turns.filter(({ target }) => route.has(target))
  const same =
    targets.length === turns.length && turns.every(({ target }) => targets.some(({ url }) => url === target.url))
  return same
    ? turns
    : targets.map((target) => turns.find(({ target: { url } }) => url === target.url) ?? turnOf(target))
}

function nobodyThere({ place }: Route, { name }: HttpPushSettings): FairleadError {
  return createError({
    code: 'NO_ENDPOINT',
    message: `no URL is known for ${placeName(place)}`,
    channel: place.name,
    transport: name,
    stack: false,
  })
}

// Among those that were never tried, the first in the rotation.
function soonest(turns: readonly Turn[]): Turn | undefined {
  let found: Turn | undefined
  for (const turn of turns) if (found === undefined || turn.at < found.at) found = turn
  return found
}

// Retry-After as it was said; else full jitter, so that many senders do not come back at once.
function pause(error: FairleadError, failures: number, { retryBaseMs, retryMaxMs, random }: HttpPushSettings): number {
  if (error.retryAfterMs !== undefined && error.retryAfterMs > 0) return error.retryAfterMs
  return random() * Math.min(retryMaxMs, retryBaseMs * 2 ** Math.min(failures, 30))
}
