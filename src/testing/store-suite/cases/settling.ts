// Verdicts: what is published goes, what failed waits with its key, and who was replaced changes nothing.
import type { RowVerdict } from '../../../core/contracts/store.ts'
import { type StoreCase, storeCase } from '../case.ts'
import { idsOf, type Verdict } from '../desk.ts'
import { demand, same, the } from '../expect.ts'

const published: Verdict = { verdict: 'published' }
const failed = (delayMs: number): Verdict => ({ verdict: 'retry', delayMs, reason: 'the broker said no' })
const LONG_MS = 100_000

export const settlingCases: readonly StoreCase[] = [
  storeCase('takes published rows away, and counts them', async ({ relay, publish, store }) => {
    await publish(['k:1', 'k:2', 'j:1', 'none'])
    const held = await relay()
    await held.ids()
    same(await held.settle({ 'k:1': published, none: published }), 2, 'how many were settled')
    same(await held.ids(), ['k:2', 'j:1'], 'what is left')
    same(await held.settle({ 'k:1': published }), 0, 'settling one again')
    same(await held.settle({}), 0, 'settling nothing')
    same(await held.settle({ 'k:2': published, 'j:1': published }), 2, 'how many were settled then')
    same([await held.ids(), (await store.outbox.stats()).backlog], [[], 0], 'what is left in the end')
  }),

  storeCase('settles many at once, with verdicts of every kind', async ({ relay, publish, store, heavy, dead }) => {
    const ids = Array.from({ length: heavy }, (_, at) => `k${at}:${at}`)
    await publish(ids)
    const held = await relay()
    await held.pending(heavy)
    const verdictOf = (at: number): Verdict =>
      [
        published,
        failed(LONG_MS),
        { verdict: 'hold', delayMs: LONG_MS } as const,
        { verdict: 'dead', reason: `because ${at}`, blocksKey: at % 8 === 3 } as const,
      ][at % 4] as Verdict
    same(
      await held.settle(Object.fromEntries(ids.map((id, at) => [id, verdictOf(at)]))),
      heavy,
      'how many were settled',
    )
    const { backlog, dead: given } = await store.outbox.stats()
    const quarter = (rest: number): number => ids.filter((_, at) => at % 4 === rest).length
    same([backlog, given], [quarter(1) + quarter(2), quarter(3)], 'what waits, and what is dead')
    same(await held.ids(), [], 'what may be published now')
    const reasons = new Map((await dead(heavy)).map(({ envelope, reason }) => [envelope.id, reason]))
    same([reasons.size, reasons.get(ids[7] as string)], [quarter(3), 'because 7'], 'reasons')
  }),

  storeCase('settles nothing for a relay that was replaced', async ({ relay, other, publish, leaseMs, pass, dead }) => {
    await publish(['k:1', 'k:2', 'k:3', 'k:4'])
    const zombie = await relay('zombie', { forMs: leaseMs })
    await zombie.ids()
    await pass(leaseMs * 1.2)
    const holder = await relay('holder', { store: other })
    const verdicts: Readonly<Record<string, Verdict>> = {
      'k:1': published,
      'k:2': failed(LONG_MS),
      'k:3': { verdict: 'hold', delayMs: LONG_MS },
      'k:4': { verdict: 'dead', reason: 'suite', blocksKey: true },
    }
    same(await zombie.settle(verdicts), 0, 'how many the replaced one settled')
    same(await holder.ids(), ['k:1', 'k:2', 'k:3', 'k:4'], 'what the holder finds')
    for (const { attempts } of await holder.pending()) same(attempts, 0, 'attempts')
    same(await dead(), [], 'dead rows')
    same(await holder.settle({ 'k:1': published }), 1, 'how many the holder settled')
  }),

  storeCase(
    'settles nothing for a relay that comes back under its name with the leases of before',
    async ({ relay, store, publish, leaseMs, pass }) => {
      await publish(['k:1'])
      const held = await relay('same', { forMs: leaseMs })
      const [found] = await held.pending()
      const old = held.leases
      await pass(leaseMs * 1.2)
      await held.renew()
      const verdict: RowVerdict = { sequence: the(found, 'a row').sequence, verdict: 'published' }
      same(await store.outbox.settle(old, [verdict]), 0, 'with the old leases')
      same(await store.outbox.settle(held.leases, [verdict]), 1, 'with the new ones')
    },
  ),

  storeCase('settles nothing by leases that were given back', async ({ relay, publish }) => {
    await publish(['k:1'])
    const held = await relay()
    await held.ids()
    await held.release()
    same(await held.settle({ 'k:1': published }), 0, 'how many were settled')
    same(await (await relay('next')).ids(), ['k:1'], 'what the next holder finds')
  }),

  storeCase('settles what it holds among what it does not', async ({ relay, other, publish }) => {
    const ids = Array.from({ length: 60 }, (_, at) => `k${at}:${at}`)
    await publish(ids)
    const held = await relay('first')
    await held.ids()
    const second = await relay('second', { store: other })
    await held.renew()
    await second.renew()
    const mine = await held.ids()
    const theirs = await second.ids()
    demand(mine.length > 0 && theirs.length > 0, 'one of two relays has nothing')
    same(await held.settle(Object.fromEntries(ids.map((id) => [id, published]))), mine.length, 'how many were settled')
    same([await held.ids(), await second.ids()], [[], theirs], 'what is left for each')
  }),

  storeCase(
    'counts a failure, and lets its key wait until it is tried again',
    async ({ relay, publish, store, leaseMs, pass }) => {
      await publish(['k:1', 'j:1', 'k:2', 'k:3'])
      const held = await relay()
      await held.ids()
      same(await held.settle({ 'k:1': failed(leaseMs) }), 1, 'how many were settled')
      same(await held.ids(), ['j:1'], 'what may be published meanwhile')
      const { backlog, blockedKeys, dead } = await store.outbox.stats()
      same([backlog, blockedKeys, dead], [4, 1, 0], 'the figures')
      await publish(['k:4'])
      same(await held.ids(), ['j:1'], 'what may be published when another one of the key came')
      await pass(leaseMs * 1.1)
      same(await held.ids(), ['k:1', 'j:1', 'k:2', 'k:3', 'k:4'], 'what may be published after its time')
      same(
        (await held.pending()).map(({ attempts }) => attempts),
        [1, 0, 0, 0, 0],
        'attempts',
      )
      same((await store.outbox.stats()).blockedKeys, 0, 'blocked keys')
      await held.settle({ 'k:1': failed(LONG_MS) })
      await held.settle({ 'j:1': published })
      same(await held.ids(), [], 'what may be published when it failed again')
      await held.settle({ 'k:1': published })
      same(await held.ids(), ['k:2', 'k:3', 'k:4'], 'what may be published when it is published after all')
    },
  ),

  storeCase(
    'tries a failed row again at once where there is no delay, before later ones of its key',
    async ({ relay, publish }) => {
      await publish(['k:1', 'k:2'])
      const held = await relay()
      for (let attempts = 1; attempts < 4; attempts++) {
        await held.ids()
        await held.settle({ 'k:1': failed(0) })
        same(
          (await held.pending()).map(({ envelope, attempts }) => [envelope.id, attempts]),
          [
            ['k:1', attempts],
            ['k:2', 0],
          ],
          'rows and their attempts',
        )
      }
      await held.settle({ 'k:1': published })
      same(await held.ids(), ['k:2'], 'what is left')
    },
  ),

  storeCase(
    'counts no attempt where the failure says nothing of the message, and lets its key wait all the same',
    async ({ relay, publish, store, leaseMs, pass }) => {
      const away = (delayMs: number): Verdict => ({ ...failed(delayMs), counts: false }) as Verdict
      const attempts = async (): Promise<unknown> =>
        (await held.pending()).map(({ envelope, attempts }) => [envelope.id, attempts])
      await publish(['k:1', 'k:2', 'none', 'j:1'])
      const held = await relay()
      await held.ids()
      same(await held.settle({ 'k:1': away(leaseMs), none: away(leaseMs) }), 2, 'how many were settled')
      same(await held.ids(), ['j:1'], 'what may be published meanwhile')
      const { backlog, blockedKeys } = await store.outbox.stats()
      same([backlog, blockedKeys], [4, 1], 'the figures')
      await pass(leaseMs * 1.1)
      const none = [
        ['k:1', 0],
        ['k:2', 0],
        ['none', 0],
        ['j:1', 0],
      ] as const
      same(await attempts(), none, 'rows and their attempts')
      await held.settle({ 'k:1': { ...failed(0), counts: true } as Verdict, none: failed(0) })
      await held.settle({ 'k:1': away(0), none: away(0) })
      const one = [
        ['k:1', 1],
        ['k:2', 0],
        ['none', 1],
        ['j:1', 0],
      ] as const
      same(await attempts(), one, 'rows and their attempts, after one that counts')
    },
  ),

  storeCase(
    'lets a failed row without a key hold up nothing but itself',
    async ({ relay, publish, store, leaseMs, pass }) => {
      await publish(['a', 'b', 'k:1'])
      const held = await relay()
      await held.ids()
      await held.settle({ a: failed(leaseMs) })
      same(await held.ids(), ['b', 'k:1'], 'what may be published meanwhile')
      same((await store.outbox.stats()).backlog, 3, 'the backlog')
      await pass(leaseMs * 1.1)
      same(await held.ids(), ['a', 'b', 'k:1'], 'what may be published after its time')
    },
  ),

  storeCase(
    'holds a row until its time, without counting it and without its key',
    async ({ relay, publish, store, leaseMs, pass }) => {
      await publish(['k:1', 'k:2'])
      const held = await relay()
      await held.ids()
      same(await held.settle({ 'k:1': { verdict: 'hold', delayMs: leaseMs } }), 1, 'how many were settled')
      same(await held.ids(), ['k:2'], 'what may be published meanwhile')
      const { backlog, blockedKeys } = await store.outbox.stats()
      same([backlog, blockedKeys], [2, 0], 'the figures')
      await pass(leaseMs * 1.1)
      same(
        (await held.pending()).map(({ envelope, attempts }) => [envelope.id, attempts]),
        [
          ['k:1', 0],
          ['k:2', 0],
        ],
        'rows and their attempts after its time',
      )
    },
  ),

  storeCase('keeps attempts and waits over a change of holder', async ({ relay, other, publish, leaseMs, pass }) => {
    await publish(['k:1', 'k:2', 'j:1'])
    const first = await relay('first')
    await first.ids()
    await first.settle({ 'k:1': failed(leaseMs), 'j:1': { verdict: 'hold', delayMs: leaseMs } })
    await first.release()
    const second = await relay('second', { store: other })
    same(await second.ids(), [], 'what the next holder may publish')
    await pass(leaseMs * 1.1)
    same(
      (await second.pending()).map(({ envelope, attempts }) => [envelope.id, attempts]),
      [
        ['k:1', 1],
        ['k:2', 0],
        ['j:1', 0],
      ],
      'and after its time',
    )
  }),

  storeCase(
    'tells how many wait, are dead and blocked, and how old the oldest is',
    async ({ relay, publish, store, leaseMs, pass }) => {
      same(await store.outbox.stats(), { backlog: 0, dead: 0, blockedKeys: 0, oldestMs: 0 }, 'with nothing there')
      await publish(['k:1', 'k:2', 'j:1', 'j:2', 'a', 'b'])
      await pass(leaseMs)
      const held = await relay()
      await held.ids()
      await held.settle({
        'k:1': failed(LONG_MS),
        'j:1': { verdict: 'dead', reason: 'suite', blocksKey: true },
        a: { verdict: 'dead', reason: 'suite', blocksKey: false },
      })
      const { oldestMs, ...figures } = await store.outbox.stats()
      same(figures, { backlog: 4, dead: 2, blockedKeys: 2 }, 'the figures')
      demand(
        oldestMs >= leaseMs * 0.9 && oldestMs < leaseMs * 0.9 + 60_000,
        `the oldest is said to be ${oldestMs} ms old`,
      )
    },
  ),

  storeCase(
    'wakes those who listen when there is an announcement, until they stop',
    async ({ store, other, until, quiet, publish }) => {
      if (store.outbox.listen === undefined || other.outbox.announce === undefined) return
      let woken = 0
      let also = 0
      const stop = await store.outbox.listen(() => woken++)
      const end = await store.outbox.listen(() => also++)
      await publish(['k:1'])
      await other.outbox.announce()
      await until('the listeners', () => woken > 0 && also > 0)
      await quiet()
      await stop()
      const before = woken
      const others = also
      await other.outbox.announce()
      await until('the one that still listens', () => also > others)
      await quiet()
      same(woken, before, 'how often it was woken after it had stopped')
      await end()
    },
  ),

  storeCase(
    'gives rows of a batch whose relay died to the next one, in order',
    async ({ relay, other, publish, leaseMs, pass }) => {
      await publish(Array.from({ length: 20 }, (_, at) => `k:${at}`))
      const first = await relay('first', { forMs: leaseMs })
      const [, ...rest] = await first.ids()
      await first.settle({ 'k:0': published })
      await pass(leaseMs * 1.2)
      const second = await relay('second', { store: other })
      same(idsOf(await second.pending()), rest, 'what the next one finds')
    },
  ),

  storeCase(
    'settles each row once among relays that join, stall and leave',
    async (desk) => {
      const { publish, open, random, pause, pass, until, store } = desk
      // Short, for stalls outlast it; but no shorter than a slow store needs.
      const leaseMs = desk.leaseMs > 2_000 ? desk.leaseMs : Math.min(desk.leaseMs, 400)
      const rows = Array.from({ length: 150 }, (_, at) => `k${at % 12}:${at}`)
      for (let at = 0; at < rows.length; at += 50) await publish(rows.slice(at, at + 50))
      const last = new Map<string, number>()
      let settled = 0
      let over = false
      const running = async (name: string): Promise<void> => {
        const held = await desk.relay(name, { store: await open(), forMs: leaseMs })
        while (!over) {
          await held.renew()
          const batch = await held.pending(8)
          await pause()
          const stalls = random() < 0.1
          // As a process that is stopped for a while and then goes on as if nothing had been.
          if (stalls) await pass(leaseMs * 1.2)
          const count = await held.settle(Object.fromEntries(idsOf(batch).map((id) => [id, published])))
          demand(count <= batch.length, `${count} of ${batch.length} rows were settled`)
          settled += count
          if (count === batch.length && !stalls)
            for (const { envelope } of batch) {
              const number = Number(envelope.id.split(':')[1])
              const before = last.get(envelope.key as string) ?? -1
              demand(before < number, `${envelope.id} was settled after ${before} of its key`)
              last.set(envelope.key as string, number)
            }
          if (random() < 0.1) await held.release()
          await pause()
          // Who leaves the others no time starves them.
          if (batch.length === 0) await pass(leaseMs / 10)
        }
      }
      const relays = Promise.all(['first', 'second', 'third'].map(running))
      relays.catch(() => {
        over = true
      })
      try {
        await until('the outbox to be empty', async () => over || (await store.outbox.stats()).backlog === 0)
      } finally {
        over = true
      }
      await relays
      same(settled, rows.length, 'how many were settled by all')
    },
    [],
    90_000,
  ),
]
