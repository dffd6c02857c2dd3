// Stores and transports that are broken on purpose, in the ways that are known from others. They stand on a good store and spoil one thing, with tables of their own.
import type { OutboxStore, PendingRow, SqlDriver, Store } from '../../../src/core/contracts/store.ts'
import type { Delivery, MessageTransport } from '../../../src/core/contracts/transport.ts'
import { withDeliveries } from '../kit/hooks.ts'
import { say } from '../kit/sql.ts'
import type { BreakageName } from '../kit/words.ts'

type Break = <Tx>(store: Store<Tx>, driver: SqlDriver<Tx>) => Partial<OutboxStore<Tx>>

const ALL = 100_000

/** Spoils a store. */
export function brokenStore<Tx>(store: Store<Tx>, driver: SqlDriver<Tx>, breakage: BreakageName): Store<Tx> {
  const spoil = BREAKS[breakage]
  return spoil === undefined ? store : { ...store, outbox: { ...store.outbox, ...spoil(store, driver) } }
}

/** Spoils the transport of a consumer: it acknowledges what it is handed, and handles it afterwards. */
export function brokenTransport(transport: MessageTransport, breakage: BreakageName): MessageTransport {
  if (breakage !== 'ack-before-commit') return transport
  return withDeliveries(transport, (delivery): Delivery => {
    void delivery.settle('ack').catch(() => undefined)
    return { envelope: delivery.envelope, onLost: () => () => undefined, settle: async () => undefined }
  })
}

// Reads on from the highest number that it has published. Whoever commits a lower one later is not read any more.
const idCursor: Break = ({ outbox }, driver) => {
  const ask = asking(driver)
  const parts = new Map<bigint, number>()
  return {
    pending: async (leases, limit) => {
      const rows = await outbox.pending(leases, limit)
      const cursors = new Map(
        (await ask('select part, seq from chaos.cursors')).map(({ part, seq }) => [Number(part), BigInt(String(seq))]),
      )
      for (const { sequence, partition } of rows) parts.set(sequence, partition)
      return rows.filter(({ sequence }) => sequence > (cursors.get(0) ?? -1n))
    },
    settle: async (leases, verdicts) => {
      const highest = verdicts.reduce((most, { sequence }) => (sequence > most ? sequence : most), -1n)
      const move =
        driver.dialect === 'postgres'
          ? 'insert into chaos.cursors as c (part, seq) values (0, ?) on conflict (part) do update set seq = greatest(c.seq, excluded.seq)'
          : 'insert into chaos.cursors (part, seq) values (0, ?) on duplicate key update seq = greatest(seq, values(seq))'
      await ask(move, [String(highest)])
      return outbox.settle(leases, verdicts)
    },
  }
}

// Any relay takes any row that no other has, as `for update skip locked` does.
const skipLocked: Break = ({ outbox }, driver) => {
  const ask = asking(driver)
  return {
    lease: (_, forMs) => outbox.lease('all', forMs),
    release: async () => undefined,
    pending: async (leases, limit) => {
      const rows = await outbox.pending(leases, limit * 4)
      const now = Date.now()
      await ask('delete from chaos.claims where until < ?', [now])
      const taken = new Set((await ask('select seq from chaos.claims')).map(({ seq }) => BigInt(String(seq))))
      const mine: PendingRow[] = []
      for (const row of rows) {
        if (mine.length === limit) break
        if (taken.has(row.sequence)) continue
        const params = [String(row.sequence), now + 3_000]
        try {
          await driver.execute(say(driver.dialect, 'insert into chaos.claims (seq, until) values (?, ?)'), params)
          mine.push(row)
        } catch {
          // Somebody else has it.
        }
      }
      return mine
    },
    settle: async (leases, verdicts) => {
      const settled = await outbox.settle(leases, verdicts)
      for (const { sequence } of verdicts) await ask('delete from chaos.claims where seq = ?', [String(sequence)])
      return settled
    },
  }
}

const markBeforePublish: Break = ({ outbox }) => ({
  pending: async (leases, limit) => {
    const rows = await outbox.pending(leases, limit)
    await outbox.settle(
      leases,
      rows.map(({ sequence }) => ({ sequence, verdict: 'published' })),
    )
    // As before a broker that is slow: a relay that is killed is nearly always killed here.
    if (rows.length > 0) await new Promise((resolve) => setTimeout(resolve, 50))
    return rows
  },
  settle: async (_, verdicts) => verdicts.length,
})

// Whoever says so may settle, whatever became of its leases.
const noFencing: Break = ({ outbox }, driver) => {
  const ask = asking(driver)
  const note =
    driver.dialect === 'postgres'
      ? 'insert into chaos.leases as l (part, epoch) values (?, ?) on conflict (part) do update set epoch = greatest(l.epoch, excluded.epoch)'
      : 'insert into chaos.leases (part, epoch) values (?, ?) on duplicate key update epoch = greatest(epoch, values(epoch))'
  const known = new Map<number, bigint>()
  return {
    lease: async (relay, forMs) => {
      const leases = await outbox.lease(relay, forMs)
      for (const { partition, epoch } of leases) {
        if (known.get(partition) === epoch) continue
        known.set(partition, epoch)
        await ask(note, [partition, String(epoch)])
      }
      return leases
    },
    settle: async (_, verdicts) => {
      const rows = await ask('select part, epoch from chaos.leases')
      const until = Number.POSITIVE_INFINITY
      return outbox.settle(
        rows.map(({ part, epoch }) => ({ partition: Number(part), epoch: BigInt(String(epoch)), until })),
        verdicts,
      )
    },
  }
}

// The number by which relays go is drawn first; the locks of the keys are taken then.
const lockAfterSequence: Break = ({ outbox }, driver) => {
  const ask = asking(driver)
  const real = new Map<bigint, bigint>()
  return {
    closing: () => undefined,
    append: async (tx, rows) => {
      for (const { envelope } of rows)
        await driver.query(tx, say(driver.dialect, 'insert into chaos.tickets (id) values (?)'), [envelope.id])
      await outbox.append(tx, rows)
    },
    pending: async (leases, limit, after = -1n) => {
      const rows = await outbox.pending(leases, ALL)
      if (rows.length === 0) return []
      const marks = rows.map(() => '?').join(', ')
      const drawn = await ask(
        `select id, ticket from chaos.tickets where id in (${marks})`,
        rows.map(({ envelope }) => envelope.id),
      )
      const tickets = new Map(drawn.map(({ id, ticket }) => [String(id), BigInt(String(ticket))]))
      return rows
        .map((row) => {
          const sequence = tickets.get(row.envelope.id) ?? row.sequence
          real.set(sequence, row.sequence)
          return { ...row, sequence }
        })
        .filter(({ sequence }) => sequence > after)
        .sort((a, b) => Number(a.sequence - b.sequence))
        .slice(0, limit)
    },
    settle: (leases, verdicts) =>
      outbox.settle(
        leases,
        verdicts.map((verdict) => ({ ...verdict, sequence: real.get(verdict.sequence) ?? -1n })),
      ),
  }
}

const BREAKS: Readonly<Partial<Record<BreakageName, Break>>> = {
  'id-cursor': idCursor,
  'skip-locked': skipLocked,
  'mark-before-publish': markBeforePublish,
  'no-fencing': noFencing,
  'lock-after-sequence': lockAfterSequence,
}

function asking(driver: Pick<SqlDriver<unknown>, 'dialect' | 'execute'>) {
  return async (text: string, params: readonly unknown[] = []): Promise<readonly Record<string, unknown>[]> =>
    (await driver.execute(say(driver.dialect, text), params)).rows
}
