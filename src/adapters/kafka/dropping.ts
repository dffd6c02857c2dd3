// Removes a group of a topic for good: its places at the broker, and the topics beside the channel that only it has.
import type { ChannelPlace } from '../../core/contracts/transport.ts'
import { invalidOption } from '../../core/options.ts'
import { createError, type FairleadError } from '../../errors/index.ts'
import { neededGroup } from './checks.ts'
import { classifyKafka, kafkaErrorOf } from './classify-kafka.ts'
import type { KafkaDriver } from './driver.ts'
import type { KafkaSettings } from './options.ts'
import type { Places } from './places.ts'
import { groupIdOf } from './preparing.ts'
import type { Topics } from './topics.ts'

/** A driver by which it can be done. */
export interface DroppingDriver extends KafkaDriver {
  topicsOf(group: string): Promise<readonly string[]>
  deleteGroup(group: string): Promise<void>
}

/** What it takes. */
export interface Dropping {
  readonly driver: DroppingDriver
  readonly topics: Topics
  readonly settings: KafkaSettings
  readonly places: Places
}

/** Whether a driver can: a client that cannot say what else a group is for must not delete it. */
export function canDrop(driver: KafkaDriver): driver is DroppingDriver {
  return driver.deleteGroup !== undefined && driver.topicsOf !== undefined
}

/** As `dropGroup` of the transport. What was begun and failed is gone on with by the next call. */
export async function dropGroup(channel: ChannelPlace, by: Dropping): Promise<void> {
  const group = checked(channel, by.settings)
  await left(channel, group, by)
  await by.places.without(channel, group, async () => {
    // Whoever came before nobody could any more.
    await left(channel, group, by)
    await dropped(channel, group, by)
  })
}

async function dropped(channel: ChannelPlace, group: string, { driver, topics, settings }: Dropping): Promise<void> {
  const id = groupIdOf(channel, group, settings)
  const retry = topics.retry(channel, group).topic
  const own = [topics.main(channel).topic, retry]
  // A group that several topics share (by `groupId`) would lose its places in all of them, and not every client can take out those of one.
  const others = (await driver.topicsOf(id)).filter((topic) => !own.includes(topic))
  if (others.length > 0)
    throw conflict(
      `consumer group ${id} has places in ${others.join(', ')} as well: take out those of ${own[0]} by kafka-consumer-groups --delete-offsets`,
    )
  for (const [name, of] of namesakes(channel.name, group))
    if (await stands(topics, settings, name, of))
      throw conflict(`group ${of} of ${name} has the same topics beside its channel (${retry}), and is in use`)
  try {
    await driver.deleteGroup(id)
  } catch (thrown) {
    const error = classifyKafka(thrown)
    throw kafkaErrorOf(error) === 'NON_EMPTY_GROUP' ? hasMembers(channel, group, error) : error
  }
  // Last: as long as they are there whoever asks again gets to them.
  try {
    await topics.remove([topics.dead(channel, group).topic, retry])
  } catch (thrown) {
    // Whatever the broker says of the topics, the places are gone.
    const { code, message, transient } = classifyKafka(thrown)
    throw createError({
      code,
      effect: 'unknown',
      transient,
      message: `the consumer group ${id} is gone, and begins anew whoever joins it; the topics beside its channel may still be there: ${message}`,
      cause: thrown,
    })
  }
}

// Whoever joins by this transport is in the way before the broker knows of it. One that waits for the end of the place before has a place of its own after that.
async function left(channel: ChannelPlace, group: string, { places }: Dropping): Promise<void> {
  let seen: ReturnType<Places['of']>
  for (let own = places.of(channel, group); own !== seen; own = places.of(channel, group)) {
    const place = await own?.catch(() => undefined)
    if (place?.open === true) throw hasMembers(channel, group)
    await place?.ended
    seen = own
  }
}

function checked(channel: ChannelPlace, settings: KafkaSettings): string {
  const { kind, name } = channel
  if (kind === 'queue') throw invalidOption('kind', kind, 'only a topic has groups')
  const group = neededGroup(channel, settings)
  if (group === '') throw invalidOption('group', group, 'say which group of the topic is meant')
  if (group === settings.queueGroup)
    throw invalidOption('group', group, `it is the one by which receivers of a queue ${name} compete (queueGroup)`)
  return group
}

// `b.c` of `a` and `c` of `a.b` have one name at the broker.
function namesakes(name: string, group: string): readonly (readonly [name: string, group: string])[] {
  const whole = `${name}.${group}`
  const all: [string, string][] = []
  for (let dot = whole.indexOf('.'); dot >= 0; dot = whole.indexOf('.', dot + 1))
    if (dot !== name.length && dot < whole.length - 1 && /[^.]/.test(whole.slice(0, dot)))
      all.push([whole.slice(0, dot), whole.slice(dot + 1)])
  return all
}

async function stands(topics: Topics, settings: KafkaSettings, name: string, group: string): Promise<boolean> {
  const channel = { kind: 'topic', name } as const
  return (await topics.partitions(name)) !== undefined && topics.hasGroup(groupIdOf(channel, group, settings), name)
}

function hasMembers({ name }: ChannelPlace, group: string, cause?: FairleadError | undefined): FairleadError {
  return conflict(
    `somebody receives from group ${group} of ${name}: close its receivers first (one whose process died is a member until its session is over)`,
    cause,
  )
}

function conflict(message: string, cause?: FairleadError | undefined): FairleadError {
  return createError({ code: 'CONFLICT', effect: 'none', message, cause })
}
