// Makes what channels need to have at the broker, or says what of it is missing.
import type { ChannelPlace } from '../../core/contracts/transport.ts'
import type { ChannelAddress } from '../../core/message.ts'
import { groupOf } from './checks.ts'
import type { KafkaSettings } from './options.ts'
import type { Topics } from './topics.ts'

/** What is missing, in words. With `create`: nothing. */
export async function prepared(
  channels: readonly ChannelPlace[],
  mode: 'create' | 'check',
  topics: Topics,
  settings: KafkaSettings,
): Promise<readonly string[]> {
  const missing: string[] = []
  for (const channel of channels) {
    const group = groupOf(channel, settings)
    const main = topics.main(channel)
    const id = channel.group === undefined ? undefined : groupIdOf(channel, channel.group, settings)
    if (mode === 'create') {
      const dead = group === undefined ? [] : [topics.dead(channel, group)]
      const retry = group === undefined || channel.kind === 'queue' ? [] : [topics.retry(channel, group)]
      await topics.ensure([main, ...dead, ...retry])
      if (id !== undefined) await topics.makeGroup(id, main.topic, 'latest')
    } else if ((await topics.partitions(main.topic)) === undefined) missing.push(`${channel.kind} ${channel.name}`)
    else if (id !== undefined && !(await topics.hasGroup(id, main.topic)))
      missing.push(`group ${channel.group} of topic ${channel.name}`)
  }
  return missing
}

/** The consumer group at the broker. */
export function groupIdOf({ kind, name }: ChannelAddress, group: string, { groupId }: KafkaSettings): string {
  return groupId({ kind, name }, group)
}
