// Every statement of the transport, in one place. Each is a single call of a function with its own commit and no name,
// and nothing of it stays in the session: a pooler in transaction mode may stand between.
import type { SqlResult } from '../../../core/contracts/store.ts'
import type { ChannelPlace, DeadLetter } from '../../../core/contracts/transport.ts'
import type { ChannelAddress, Envelope } from '../../../core/message.ts'
import { envelopeOf, sendParams } from './rows.ts'

/** What the transport needs of a driver; `pgDriver` makes one. */
export interface TransportDriver {
  readonly dialect: string
  execute(text: string, params: readonly unknown[]): Promise<SqlResult>
  listen?(channel: string, wake: () => void): Promise<() => Promise<void>>
}

/** Where a receiver takes from. */
export interface Joined {
  /** `missing`: no such channel; `private`: it belongs to another receiver; `expired`: the position is out of reach, `first` is the first one within. */
  readonly state: 'joined' | 'missing' | 'private' | 'expired'
  readonly place: number
  readonly channel: number
  readonly wake: string
  readonly first?: string | undefined
}

/** What to join. */
export interface JoinRequest {
  readonly address: ChannelAddress
  /** Empty for a queue; of a live subscription a name of its own. */
  readonly group: string
  readonly live: boolean
  readonly temporary: boolean
  readonly from: 'latest' | 'earliest' | 'time' | 'position'
  readonly time?: number | undefined
  readonly position?: string | undefined
}

/** A verdict that is not an acknowledgement, or a longer lease. */
export interface Said {
  readonly verdict: 'retry' | 'dead' | 'extend'
  readonly seq: string
  readonly attempts: number
  readonly ms: number
  readonly blocks: boolean
  readonly reason: string
}

/** One turn of a receiver. */
export interface TurnRequest {
  readonly place: number
  readonly holder: string
  readonly queue: boolean
  readonly leaseMs: number
  readonly seqs: readonly string[]
  readonly attempts: readonly number[]
  readonly want: number
  readonly durable: boolean
  /** Whether to look for leases of others that are over. */
  readonly expired: boolean
}

/** What came of it. */
export interface Turn {
  /** The place is there no more. */
  readonly gone: boolean
  /** Acknowledgements that came too late, by seq. */
  readonly lost: readonly string[]
  /** When the next delayed message is due. */
  readonly dueMs: number | undefined
  readonly messages: readonly {
    readonly seq: string
    readonly attempts: number
    readonly envelope: Envelope
  }[]
}

/** The statements of one schema. */
export class MessageStore {
  private readonly driver: TransportDriver
  private readonly call: Readonly<Record<string, string>>
  private readonly schema: string

  /** @param schema quoted */
  constructor(driver: TransportDriver, schema: string) {
    this.driver = driver
    this.schema = schema
    const call = (name: string, count: number): string =>
      `select * from ${schema}.message_${name}(${Array.from({ length: count }, (_, at) => `$${at + 1}`).join(', ')})`
    this.call = {
      send: call('send', 12).replace('*', 'message_send as places'),
      turn: call('turn', 9),
      settle: call('settle', 10),
      release: call('release', 4),
      poll: call('poll', 1),
      create: call('create', 3),
      join: call('join', 8),
      leave: call('leave', 1),
      beat: call('beat', 1),
      tidy: call('tidy', 2).replace('*', 'message_tidy as count'),
      inspect: call('inspect', 2),
      redrive: call('redrive', 2).replace('*', 'message_redrive as count'),
    }
  }

  /** How many places get them; undefined where there is no such channel. */
  async send(
    { kind, name }: ChannelAddress,
    envelopes: readonly Envelope[],
    notify: boolean,
  ): Promise<number | undefined> {
    const { rows } = await this.run('send', [kind, name, ...sendParams(envelopes), notify])
    const places = rows[0]?.['places']
    return typeof places === 'number' ? places : undefined
  }

  async turn(turn: TurnRequest): Promise<Turn> {
    const { place, holder, leaseMs, seqs, attempts, queue, want, durable, expired } = turn
    const { rows } = await this.run('turn', [place, holder, leaseMs, seqs, attempts, queue, want, durable, expired])
    const head = rows[0]
    return {
      gone: head === undefined,
      lost: textArray(head?.['lost']),
      dueMs: (head?.['due_ms'] as number | null | undefined) ?? undefined,
      messages: rows.slice(1).map((row) => ({
        seq: row['seq'] as string,
        attempts: row['attempts'] as number,
        envelope: envelopeOf(row),
      })),
    }
  }

  /** Those that came too late, by seq. */
  async settle(
    place: number,
    queue: boolean,
    holder: string,
    said: readonly Said[],
    durable: boolean,
  ): Promise<readonly string[]> {
    const { rows } = await this.run('settle', [
      place,
      queue,
      holder,
      said.map(({ verdict }) => verdict),
      said.map(({ seq }) => seq),
      said.map(({ attempts }) => attempts),
      said.map(({ ms }) => ms),
      said.map(({ blocks }) => blocks),
      said.map(({ reason }) => reason),
      durable,
    ])
    return rows.map(({ seq }) => seq as string)
  }

  async release(place: number, holder: string, keep: readonly string[], counted: readonly string[]): Promise<void> {
    await this.run('release', [place, holder, keep, counted])
  }

  async poll(
    places: readonly number[],
  ): Promise<readonly { readonly place: number; readonly found: boolean; readonly dueMs: number | undefined }[]> {
    const { rows } = await this.run('poll', [places])
    return rows.map((row) => ({
      place: row['place'] as number,
      found: row['found'] as boolean,
      dueMs: (row['due_ms'] as number | null) ?? undefined,
    }))
  }

  async create({ kind, name }: ChannelAddress, retentionMs: number): Promise<void> {
    await this.run('create', [kind, name, retentionMs])
  }

  async join({ address, group, live, temporary, from, time, position }: JoinRequest): Promise<Joined> {
    const { rows } = await this.run('join', [
      address.kind,
      address.name,
      group,
      live,
      temporary,
      from,
      time ?? null,
      position ?? null,
    ])
    return rows[0] as unknown as Joined
  }

  async leave(place: number): Promise<void> {
    await this.run('leave', [place])
  }

  /** A group goes as the place of a live subscription does: marked as one that was not heard of for long, so that it goes also if this process ends in between. */
  async drop(place: number): Promise<void> {
    const { schema } = this
    await this.driver.execute(`update ${schema}.place set seen_at = '-infinity' where id = $1`, [place])
    await this.leave(place)
  }

  async beat(places: readonly number[]): Promise<readonly number[]> {
    return (await this.run('beat', [places])).rows.map(({ place }) => place as number)
  }

  async tidy(staleMs: number, limit: number): Promise<number> {
    return (await this.run('tidy', [staleMs, limit])).rows[0]?.['count'] as number
  }

  async inspect(place: number, least: number): Promise<{ readonly waiting: number; readonly oldestMs?: number }> {
    const row = (await this.run('inspect', [place, least])).rows[0]
    const oldestMs = row?.['oldest_ms'] as number | null
    return {
      waiting: row?.['waiting'] as number,
      ...(oldestMs === null ? undefined : { oldestMs: Math.max(oldestMs, 0) }),
    }
  }

  async redrive(place: number, ids: readonly string[] | null): Promise<number> {
    return (await this.run('redrive', [place, ids])).rows[0]?.['count'] as number
  }

  /**
   * Since when all messages of a channel are kept, milliseconds since 1970. What is purged is older than the retention, and of what is left behind it some may be
   * younger: whoever waits for a message keeps it.
   */
  async retainedSince({ kind, name }: ChannelAddress): Promise<number | undefined> {
    const { rows } = await this.driver.execute(
      `select (extract(epoch from now() - retention) * 1000)::float8 as since, (purged_to = 0)::int as whole from ${this.schema}.channel where kind = $1 and name = $2`,
      [kind, name],
    )
    const row = rows[0]
    if (row === undefined) return undefined
    return Number(row['whole']) === 1 ? -Infinity : (row['since'] as number)
  }

  /** Channel and place by name: which of them is there. */
  async find({
    kind,
    name,
    group,
  }: ChannelPlace): Promise<{ readonly channel: boolean; readonly place: number | undefined }> {
    const { rows } = await this.driver.execute(
      `select p.id as place from ${this.schema}.channel c left join ${this.schema}.place p on p.channel = c.id and p.name = $3 where c.kind = $1 and c.name = $2`,
      [kind, name, kind === 'queue' ? '' : (group ?? '')],
    )
    return { channel: rows.length > 0, place: (rows[0]?.['place'] as number | null | undefined) ?? undefined }
  }

  /** A page of what was given up, behind the one named by `after`. */
  async dead(
    place: number,
    limit: number,
    after: DeadCursor | undefined,
  ): Promise<readonly { readonly letter: DeadLetter; readonly cursor: DeadCursor }[]> {
    const { rows } = await this.driver.execute(
      `select seq, died_at::text as died, (extract(epoch from died_at) * 1000)::float8 as at, reason, priority, not_before, expires_at, id, key, attributes, headers, body
      from ${this.schema}.dead where place = $1 and ($3::timestamptz is null or (died_at, seq) > ($3::timestamptz, $4::bigint)) order by died_at, seq limit $2`,
      [place, limit, after?.died ?? null, after?.seq ?? null],
    )
    return rows.map((row) => ({
      letter: { envelope: envelopeOf(row), reason: row['reason'] as string, at: Math.floor(row['at'] as number) },
      cursor: { died: row['died'] as string, seq: row['seq'] as string },
    }))
  }

  /** Wakes receivers of a channel in other processes. */
  async notify({ kind, name }: ChannelAddress): Promise<void> {
    await this.driver.execute(
      `select pg_notify(${this.schema}.message_wake(c.id), '') from ${this.schema}.channel c where c.kind = $1 and c.name = $2`,
      [kind, name],
    )
  }

  /** Cleans the narrow tables. Only their owner may: for others PostgreSQL says so and does nothing. */
  async vacuum(): Promise<void> {
    for (const table of ['ready', 'taken'])
      await this.driver.execute(`vacuum (skip_locked, truncate off) ${this.schema}.${table}`, [])
  }

  private run(name: string, params: readonly unknown[]): Promise<SqlResult> {
    return this.driver.execute(this.call[name] as string, params)
  }
}

/** Where a page of dead letters ends. */
export interface DeadCursor {
  readonly died: string
  readonly seq: string
}

// `{1,2}`; null for none.
function textArray(value: unknown): readonly string[] {
  return typeof value === 'string' && value.length > 2 ? value.slice(1, -1).split(',') : []
}
