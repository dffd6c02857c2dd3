// The places of groups in this process: receivers of one group are one member of it.
import type { ChannelAddress } from '../../core/message.ts'
import { createError } from '../../errors/index.ts'
import type { Place } from './place.ts'

/** By topic and group. */
export class Places {
  private readonly places = new Map<string, Promise<Place>>()
  /** By the same keys: of groups that are being dropped. */
  private readonly going = new Set<string>()

  /** Whether there is any. */
  get any(): boolean {
    return this.places.size > 0
  }

  /** The place, if somebody receives there or is about to. */
  of(channel: ChannelAddress, group: string): Promise<Place> | undefined {
    return this.places.get(keyOf(channel, group))
  }

  /**
   * The one that is there, or a new one.
   * @throws FairleadError `CONFLICT` while the group is being dropped
   */
  async shared(channel: ChannelAddress, group: string, make: () => Promise<Place>): Promise<Place> {
    const key = keyOf(channel, group)
    for (;;) {
      const there = this.places.get(key)
      if (there === undefined) break
      const place = await there
      if (place.open) return place
      // It is ending: its member must have left before another one joins.
      await place.ended
      if (this.places.get(key) === there) this.places.delete(key)
    }
    if (this.going.has(key))
      throw createError({
        code: 'CONFLICT',
        effect: 'none',
        message: `group ${group} of ${channel.name} is being dropped: receive from it once that has ended`,
      })
    const making = make()
    this.places.set(key, making)
    making.catch(() => {
      if (this.places.get(key) === making) this.places.delete(key)
    })
    return making
  }

  /** Nobody joins while it lasts: whoever did in the middle of a drop would find the group's offsets still there, and be left without. */
  async without(channel: ChannelAddress, group: string, work: () => Promise<void>): Promise<void> {
    const key = keyOf(channel, group)
    this.going.add(key)
    try {
      await work()
    } finally {
      this.going.delete(key)
    }
  }
}

function keyOf({ name }: ChannelAddress, group: string): string {
  return `${name} ${group}`
}
