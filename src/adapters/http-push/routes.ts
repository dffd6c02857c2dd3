// Where the messages of a channel go: one route for a queue, for each group of a topic, and for each URL without a group.
import type { ChannelPlace } from '../../core/contracts/transport.ts'
import { keyed } from '../../core/keyed.ts'
import type { ChannelAddress } from '../../core/message.ts'
import { invalidOption } from '../../core/options.ts'
import { createError } from '../../errors/classes.ts'
import { type HttpPushSettings, parseUrl, type Subscribers, type Urls } from './options.ts'
import { Slots } from './turns.ts'
import { LIVE, placeKey, placeName } from './wire.ts'

/** One URL. */
export interface Target {
  readonly url: string
  readonly origin: string
  readonly path: string
}

/** URLs of which one has to take each message. */
export class Route {
  readonly key: string
  readonly place: ChannelPlace
  /** What `GROUP_HEADER` says; undefined: nothing. */
  readonly group: string | undefined
  readonly slots: Slots
  #targets: readonly Target[] = []
  #next = 0
  readonly #gone = new Set<string>()

  constructor(key: string, place: ChannelPlace, group: string | undefined, most: number) {
    this.key = key
    this.place = place
    this.group = group
    this.slots = new Slots(most)
  }

  /** A URL that was left out once and comes again has subscribed anew. */
  update(targets: readonly Target[]): void {
    this.#targets = targets
    for (const url of this.#gone) if (!targets.some((target) => target.url === url)) this.#gone.delete(url)
  }

  /** Where it leads: all URLs but those whose subscription is over. */
  get targets(): readonly Target[] {
    return this.#gone.size === 0 ? this.#targets : this.#targets.filter((target) => this.has(target))
  }

  /** Every subscription is over. Without any URL, nobody is known at the moment. */
  get over(): boolean {
    return this.#targets.length > 0 && this.targets.length === 0
  }

  /** The targets in turn: each call begins with another one. */
  rotation(): readonly Target[] {
    const { targets } = this
    const from = this.#next++ % Math.max(1, targets.length)
    return from === 0 ? targets : [...targets.slice(from), ...targets.slice(0, from)]
  }

  /** The subscription of this URL is over. True the first time. */
  leave(target: Target): boolean {
    if (this.#gone.has(target.url)) return false
    this.#gone.add(target.url)
    return true
  }

  has(target: Target): boolean {
    return !this.#gone.has(target.url)
  }
}

// Channels and groups are few; a function that makes them up is bounded all the same.
const MOST_ROUTES = 10_000

/** Finds the routes of channels. */
export class Routes {
  readonly #settings: HttpPushSettings
  readonly #routes: { get(key: string): { route: Route | undefined } }

  constructor(settings: HttpPushSettings) {
    this.#settings = settings
    this.#routes = keyed<{ route: Route | undefined }>(MOST_ROUTES, () => ({ route: undefined }))
  }

  /**
   * The routes of a channel; undefined: there is no such channel. Rejects with what the user's function throws.
   * @throws FairleadError `INVALID_OPTIONS`
   */
  async of(channel: ChannelAddress): Promise<readonly Route[] | undefined> {
    const found = await this.#settings.find?.(channel)
    return found === undefined ? undefined : this.#lay(channel, found)
  }

  #lay(channel: ChannelAddress, found: Subscribers): readonly Route[] {
    const { kind, name } = channel
    const place: ChannelPlace = { kind, name }
    const option = `subscribers of ${placeName(place)}`
    if (isUrls(found)) {
      const targets = targetsOf(option, found)
      return kind === 'queue'
        ? [this.#route(place, undefined, targets)]
        : targets.map((one) => this.#single(place, undefined, one))
    }
    if (typeof found !== 'object' || found === null) throw invalidOption(option, found, 'give URLs, or URLs by group')
    if (kind === 'queue') throw invalidOption(option, found, 'a queue has no groups: give a list of URLs')
    return Object.entries(found).flatMap(([group, urls]) => {
      const targets = targetsOf(`${option}, ${group}`, urls)
      return group === LIVE
        ? targets.map((target) => this.#single(place, LIVE, target))
        : [this.#route({ kind, name, group }, group, targets)]
    })
  }

  #single(place: ChannelPlace, group: string | undefined, target: Target): Route {
    return this.#route(place, group, [target], ` ${target.url}`)
  }

  #route(place: ChannelPlace, group: string | undefined, targets: readonly Target[], more: string = ''): Route {
    const key = placeKey(place) + more
    const entry = this.#routes.get(key)
    entry.route ??= new Route(key, place, group, this.#settings.maxOutstanding)
    entry.route.update(targets)
    return entry.route
  }
}

/** The error for a channel that nobody receives. */
export function nobody(place: ChannelPlace, transport: string, stack: boolean = false): Error {
  return createError({
    code: 'CHANNEL_NOT_FOUND',
    message: `${placeName(place)} has no subscriber`,
    channel: place.name,
    transport,
    stack,
  })
}

function isUrls(found: Subscribers): found is Urls {
  return typeof found === 'string' || found instanceof URL || Array.isArray(found)
}

function targetsOf(option: string, urls: Urls): readonly Target[] {
  return [urls].flat().map((url) => {
    const parsed = parseUrl(option, url)
    return { url: parsed.href, origin: parsed.origin, path: parsed.pathname + parsed.search }
  })
}
