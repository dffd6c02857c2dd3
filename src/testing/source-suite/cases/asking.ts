// How often a source asks: at once when it is told to, and never in a hurry.
import { demand } from '../../assert.ts'
import { asked, fault, refreshes, type SourceCase, sourceCase } from '../case.ts'
import type { SourceDesk } from '../desk.ts'

const count = async (desk: SourceDesk): Promise<number> => (await desk.lab.questions?.()) ?? 0

export const askingCases: readonly SourceCase[] = [
  sourceCase(
    'sees a change when it is told to look',
    async (desk) => {
      const service = desk.service()
      const all = desk.endpoints(service, 2)
      await desk.announce(service, all.slice(1))
      const watch = desk.watch(service)
      await watch.sees('the one', all.slice(1))
      // A refresh waits a second after the question before it.
      await desk.pass(1_100)
      await desk.announce(service, all)
      watch.refresh()
      await watch.sees('both', all, Math.min(500, desk.changeMs))
    },
    [refreshes],
  ),

  sourceCase(
    'makes one question of many refreshes',
    async (desk) => {
      const service = desk.service()
      const all = desk.endpoints(service, 2)
      await desk.announce(service, all)
      const watch = desk.watch(service)
      await watch.sees('both', all)
      await desk.pass(1_100)
      const before = await count(desk)
      for (let each = 0; each < 500; each++) {
        watch.refresh()
        if (each % 50 === 0) await desk.pass(1)
      }
      await desk.quiet(100)
      const more = (await count(desk)) - before
      demand(more <= 3, `${more} questions were asked for 500 refreshes within a moment`)
    },
    [asked],
  ),

  sourceCase(
    'is not hurried by refreshes while the registry fails',
    async (desk) => {
      const service = desk.service()
      const all = desk.endpoints(service, 2)
      await desk.announce(service, all)
      const watch = desk.watch(service)
      await watch.sees('both', all)
      const start = await desk.lab.faults?.kill?.()
      const heard = watch.heard.length
      for (let each = 0; each < 300; each++) {
        watch.refresh()
        await desk.pass(10)
      }
      const errors = watch.heard.slice(heard).filter(({ update }) => update.type === 'error').length
      demand(
        errors <= 8,
        `${errors} errors were told in about 3 seconds of refreshes: the registry is stormed while it fails`,
      )
      await start?.((desk.lab.faults?.starts ?? ['kept'])[0] ?? 'kept')
    },
    [fault('kill')],
    60_000,
  ),

  sourceCase(
    'asks calmly while nothing happens',
    async (desk) => {
      const service = desk.service()
      await desk.announce(service, desk.endpoints(service, 2))
      const watch = desk.watch(service)
      await watch.sees('both', desk.endpoints(service, 2))
      const before = await count(desk)
      await desk.pass(2_000)
      const more = (await count(desk)) - before
      const most = 4 + Math.ceil((4 * 2_000) / Math.max(desk.changeMs, 500))
      demand(more <= most, `${more} questions were asked in 2 seconds in which nothing happened`)
    },
    [asked],
  ),
]
