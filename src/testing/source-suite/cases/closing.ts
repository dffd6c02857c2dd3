// The end of a watch: in whatever state, quickly, and with nothing left.
import type { SourceUpdate } from '../../../core/contracts/source.ts'
import { demand } from '../../assert.ts'
import { counted, fault, type SourceCase, sourceCase } from '../case.ts'
import type { SourceDesk, Watched } from '../desk.ts'

// Whoever closes does not wait for the registry.
const CLOSE_MS = 5_000

interface Left {
  readonly open: number
  readonly timers: number
}

async function left({ lab }: SourceDesk): Promise<Left> {
  return { open: (await lab.openThings?.()) ?? 0, timers: lab.timers?.() ?? 0 }
}

async function nothingMore(desk: SourceDesk, before: Left, when: string): Promise<void> {
  let now = before
  await desk.until(
    `nothing is left open ${when}`,
    CLOSE_MS,
    async () => {
      now = await left(desk)
      return now.open <= before.open && now.timers <= before.timers
    },
    () => `before ${before.open} things and ${before.timers} timers, now ${now.open} and ${now.timers}`,
  )
}

const closed = (desk: SourceDesk, watch: Watched): Promise<void> => desk.done('close', CLOSE_MS, watch.close())

export const closingCases: readonly SourceCase[] = [
  sourceCase('tells nothing after close', async (desk) => {
    const service = desk.service()
    const all = desk.endpoints(service, 3)
    await desk.announce(service, all.slice(1))
    const watch = desk.watch(service)
    await watch.sees('both', all.slice(1))
    await closed(desk, watch)
    const heard = watch.heard.length
    await desk.announce(service, all)
    watch.refresh()
    await desk.pass(Math.min(2 * desk.changeMs, 5_000))
    demand(watch.heard.length === heard, 'the sink was called after close')
  }),

  sourceCase(
    'leaves no timer and no socket when the last watch is closed',
    async (desk) => {
      const before = await left(desk)
      const [one, two] = [desk.service('one'), desk.service('two')]
      await desk.announce(one, desk.endpoints(one, 2))
      const source = desk.source()
      const watches = [desk.watch(one, source), desk.watch(one, source), desk.watch(two, source)]
      await (watches[0] as Watched).sees('both', desk.endpoints(one, 2))
      await desk.quiet()
      for (const watch of watches) await closed(desk, watch)
      await nothingMore(desk, before, 'after close')
    },
    [counted],
  ),

  sourceCase('closes once, however often it is asked to', async (desk) => {
    const service = desk.service()
    await desk.announce(service, desk.endpoints(service, 2))
    const watch = desk.watch(service)
    await watch.sees('both', desk.endpoints(service, 2))
    await desk.done('three closes at once', CLOSE_MS, Promise.all([watch.close(), watch.close(), watch.close()]))
    await closed(desk, watch)
  }),

  sourceCase('closes one watch and leaves the others', async (desk) => {
    const service = desk.service()
    const all = desk.endpoints(service, 3)
    await desk.announce(service, all.slice(1))
    const source = desk.source()
    const [one, two] = [desk.watch(service, source), desk.watch(service, source)]
    await one.sees('both', all.slice(1))
    await two.sees('both', all.slice(1))
    await closed(desk, one)
    await desk.announce(service, all)
    await two.sees('all three', all)
  }),

  sourceCase('can be watched again after the last watch was closed', async (desk) => {
    const service = desk.service()
    const all = desk.endpoints(service, 3)
    await desk.announce(service, all.slice(1))
    const source = desk.source()
    const watch = desk.watch(service, source)
    await watch.sees('both', all.slice(1))
    await closed(desk, watch)
    await desk.announce(service, all)
    await desk.watch(service, source).sees('all three', all, desk.recoveryMs)
  }),

  sourceCase('closes before the first answer', async (desk) => {
    const before = await left(desk)
    const service = desk.service()
    await desk.announce(service, desk.endpoints(service, 2))
    const watch = desk.watch(service, desk.source())
    await closed(desk, watch)
    const heard = watch.heard.length
    await desk.quiet()
    demand(watch.heard.length === heard, 'the sink was called after close')
    await nothingMore(desk, before, 'after a close before the first answer')
  }),

  sourceCase(
    'closes while the registry is dead',
    async (desk) => {
      const before = await left(desk)
      const service = desk.service()
      await desk.announce(service, desk.endpoints(service, 2))
      const watch = desk.watch(service, desk.source())
      await watch.sees('both', desk.endpoints(service, 2))
      const start = await desk.lab.faults?.kill?.()
      try {
        await watch.failsAfter('an error', watch.heard.length)
        await closed(desk, watch)
        const heard = watch.heard.length
        await desk.pass(3_000)
        demand(watch.heard.length === heard, 'the sink was called after close')
      } finally {
        await start?.((desk.lab.faults?.starts ?? ['kept'])[0] ?? 'kept')
      }
      await nothingMore(desk, before, 'after a close while the registry was dead')
    },
    [fault('kill')],
    60_000,
  ),

  sourceCase(
    'closes while the registry is stuck',
    async (desk) => {
      const service = desk.service()
      await desk.announce(service, desk.endpoints(service, 2))
      const watch = desk.watch(service)
      await watch.sees('both', desk.endpoints(service, 2))
      const resume = await desk.lab.faults?.pause?.()
      try {
        // One whose question is under way, and one that has never had an answer.
        watch.refresh()
        const other = desk.watch(desk.service('other'), desk.source())
        await desk.pass(50)
        await closed(desk, other)
        await closed(desk, watch)
        demand(other.heard.length === 0, 'something was told by a registry that is stuck')
      } finally {
        await resume?.()
      }
    },
    [fault('pause')],
    60_000,
  ),

  sourceCase('can be closed by its own sink', async (desk) => {
    const service = desk.service()
    await desk.announce(service, desk.endpoints(service, 2))
    let told = 0
    let watch: Watched | undefined
    let closing: Promise<void> | undefined
    const close = (_: SourceUpdate): void => {
      told++
      closing ??= watch?.close()
    }
    watch = desk.watch(service, desk.source(), close)
    // A source that tells inside `watch` is closed right after it.
    if (told > 0) closing ??= watch.close()
    await desk.until('a first word', desk.changeMs, () => told > 0)
    await desk.done('close', CLOSE_MS, closing ?? watch.close())
    const before = told
    await desk.quiet()
    demand(told === before, 'the sink was called after close')
  }),

  sourceCase('goes on when its sink throws', async (desk) => {
    const service = desk.service()
    const all = desk.endpoints(service, 3)
    await desk.announce(service, all.slice(1))
    const source = desk.source()
    const watch = desk.watch(service, source, () => {
      throw new Error('a sink that throws')
    })
    const other = desk.watch(service, source)
    await watch.sees('both', all.slice(1))
    await desk.announce(service, all)
    await watch.sees('all three', all)
    await other.sees('all three, beside one that throws', all)
    demand(watch.errors().length === 0, 'what the sink threw was told to it as an error of the registry')
  }),
]
