// Random histories: changes, deletes, duplicates and reorderings, a snapshot at a random moment, rebuilds; in the end the copy is what the source is.
import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { channelOf, customer, type Held, live, replicaOf, sourceOf } from './kit.ts'
import { memoryLab } from './memory-lab.ts'

const HISTORIES = 80

const play = async (seed: number): Promise<void> => {
  const random = seededRandom(seed)
  const below = (count: number): number => Math.floor(random() * count)
  const lab = memoryLab()
  const channel = channelOf('customers')
  const source = sourceOf(lab, lab.transport(), channel)
  const ids = ['a', 'b', 'c', 'd', 'e', 'f']
  // Told later. While nobody listens in the order of each key, as an outbox tells it; from then on in any order, and perhaps again.
  const waiting: (readonly [string, Held])[] = []
  const told: (readonly [string, Held])[] = []
  let listens = (): boolean => false
  const tell = async (any: number, again: boolean): Promise<void> => {
    const wild = listens()
    const at = wild ? any : waiting.findIndex(([id]) => id === waiting[any]?.[0])
    const [one] = wild && again ? [waiting[at]] : waiting.splice(at, 1)
    if (one === undefined) return
    if (wild) told.push(one)
    await source.tell(one[0], one[1])
  }
  const step = async (): Promise<void> => {
    const id = ids[below(ids.length)] as string
    const version = (source.all.get(id)?.version ?? 0) + 1
    const what = random()
    if (what < 0.5) {
      const held: Held = {
        version,
        value: random() < 0.3 ? undefined : customer(`${id} ${version}`, random() < 0.5 ? 'NL' : 'BE'),
      }
      source.all.set(id, held)
      waiting.push([id, held])
    } else if (what < 0.8) await tell(below(waiting.length), random() < 0.2)
    else await lab.pass(below(30))
  }
  for (let turn = below(30); turn > 0; turn--) await step()
  let calm = false
  const part = random() < 0.3
  const position = random() < 0.5
  const replica = replicaOf(lab, await lab.process(), 'copy', lab.transport(), channel, {
    keep: part ? ({ country }) => country === 'NL' : undefined,
    concurrency: 1 + below(10),
    onFailure: 'overtake',
    random,
    snapshot: source.snapshot({
      pageSize: 1 + below(4),
      cursors: random() < 0.5,
      ...(position ? { position: () => ({ time: lab.clock.wallNow() }) } : {}),
      read: async () => {
        if (!calm && random() < 0.5) await step()
      },
      before: async () => {
        if (calm) return
        if (random() < 0.5) await step()
        if (random() < 0.15) throw new Error('the source hiccups')
      },
    }),
  })
  listens = () => replica.events.some((event) => event.type === 'consumer-state' && event.state === 'running')
  const starting = replica.start()
  for (let turn = 20 + below(60); turn > 0; turn--) {
    await step()
    if (told.length > 0 && random() < 0.2) {
      const [id, held] = told[below(told.length)] as readonly [string, Held]
      waiting.push([id, held])
    }
    if (random() < 0.03) replica.rebuild().catch(() => undefined)
  }
  await starting
  calm = true
  while (waiting.length > 0) {
    await tell(below(waiting.length), false)
    await lab.pass(below(5))
  }
  const wanted = JSON.stringify(source.rows().filter(({ id }) => !part || source.all.get(id)?.value?.country === 'NL'))
  await lab.until(async () => (await replica.staleness()).state === 'live')
  try {
    await lab.until(async () => JSON.stringify(live(await lab.rows('copy'))) === wanted)
  } catch {
    expect(JSON.stringify(live(await lab.rows('copy'))), `seed ${seed}`).toBe(wanted)
  }
  await replica.close()
}

describe('random histories', { timeout: 120_000 }, () => {
  it(`${HISTORIES} of them end with a copy that is what the source is`, async () => {
    for (let seed = 1; seed <= HISTORIES; seed++) await play(seed)
  })
})
