// How lanes are shared out among those who ask for them, and who holds what: the rule of checkpoints and of an outbox's partitions.

/** One thing to be leased. */
export interface Share {
  /** Grows with each new holder. */
  epoch: bigint
  /** Undefined once it was released or given up. */
  member: string | undefined
  /** On the clock by which leases run out. */
  until: number
}

/** A share that nobody has had. */
export function newShare(): Share {
  return { epoch: 0n, member: undefined, until: -Infinity }
}

/**
 * Gives `member` its fair part of `shares`: with n of them and k members that are alive each may hold n / k, and the first of them by name one more
 * where that does not come out even. What it holds it keeps, as far as it may; what is beyond its part it gives up, or has as before until it gives it back.
 * @param members until when each is taken for alive; those whose time is over are taken out
 * @returns what it holds beyond its part
 */
export function shareOut(
  members: Map<string, number>,
  shares: readonly Share[],
  member: string,
  now: number,
  until: number,
  beyond: 'given-up' | 'kept' = 'given-up',
): ReadonlySet<Share> {
  for (const [name, end] of members) if (end <= now) members.delete(name)
  members.set(member, until)
  const part = fairPart(member, [...members.keys()], shares.length)
  let held = 0
  const surplus = new Set<Share>()
  for (const share of shares) {
    if (!isHeldBy(share, member, now)) continue
    if (held === part) {
      surplus.add(share)
      if (beyond === 'given-up') share.member = undefined
    } else {
      share.until = until
      held++
    }
  }
  for (const share of shares) {
    if (held === part) break
    if (share.member !== undefined && share.until > now) continue
    share.member = member
    share.until = until
    share.epoch++
    held++
  }
  return surplus
}

/** Until when something lasts, as it was noted, with the time that it was to last. */
export interface Noted {
  readonly until: number
  readonly waitMs: number
}

// Clocks that are only put right must not end what is going on.
const PUT_RIGHT_MS = 1_000

/**
 * Until when it lasts; until now for what would last longer from now on than it was ever to last: the clock was set back since, and who is gone
 * would be waited for until it is that late again.
 */
export function lastsUntil({ until, waitMs }: Noted, now: number): number {
  return until > now + waitMs + PUT_RIGHT_MS ? now : until
}

/** Whether it is leased to that member now. */
export function isHeldBy(share: Share, member: string, now: number): boolean {
  return share.member === member && share.until > now
}

/** Whether a lease of that epoch may still write: nobody else has had it since, and it was not given back. */
export function isCurrent(share: Share | undefined, epoch: bigint): share is Share {
  return share !== undefined && share.epoch === epoch && share.member !== undefined
}

/** Gives one back; a member that holds nothing more has left, and the parts of the others grow. */
export function giveBack(members: Map<string, number>, shares: Iterable<Share>, share: Share, epoch: bigint): void {
  if (!isCurrent(share, epoch)) return
  const member = share.member as string
  share.member = undefined
  for (const each of shares) if (each.member === member) return
  members.delete(member)
}

/** How many of `count` things are for that member: an equal part each, and the first of them by name one more where that does not come out even. */
export function fairPart(member: string, members: readonly string[], count: number): number {
  const rank = [...members].sort().indexOf(member)
  return Math.floor(count / members.length) + (rank < count % members.length ? 1 : 0)
}
