// A registry that is dead, stuck, slow or talks nonsense: told as an error, taken for no loss, and overcome without help.
import type { Endpoint } from '../../../core/contracts/source.ts'
import { demand } from '../../assert.ts'
import { fault, type SourceCase, type SourceNeed, sourceCase, startsAs } from '../case.ts'
import { never, type SourceDesk, type Watched } from '../desk.ts'
import { sameSet, some } from '../entries.ts'
import type { RegistryFaults, RegistryStart } from '../types.ts'

interface Scene {
  readonly service: string
  readonly all: readonly Endpoint[]
  readonly watch: Watched
  readonly faults: RegistryFaults
}

// Three endpoints (of four) that are watched.
async function scene(desk: SourceDesk): Promise<Scene> {
  const service = desk.service('trouble')
  const all = desk.endpoints(service, 4)
  await desk.announce(service, all.slice(0, 3))
  const watch = desk.watch(service)
  await watch.sees('three', all.slice(0, 3))
  return { service, all, watch, faults: desk.lab.faults ?? {} }
}

const anyStart = (desk: SourceDesk): RegistryStart => (desk.lab.faults?.starts ?? ['kept'])[0] ?? 'kept'

// A mend for whatever happens in between: the registry may be shared.
function mendOnce(desk: SourceDesk, mend: (() => Promise<void>) | undefined): () => Promise<void> {
  let mended = false
  const once = async (): Promise<void> => {
    if (mended) return
    mended = true
    await mend?.()
  }
  desk.onEnd(once)
  return once
}

async function killed(desk: SourceDesk): Promise<(as: RegistryStart) => Promise<void>> {
  const start = await desk.lab.faults?.kill?.()
  let started = false
  const once = async (as: RegistryStart): Promise<void> => {
    if (started) return
    started = true
    await start?.(as)
  }
  desk.onEnd(() => once(anyStart(desk)))
  return once
}

const noWordSince = (watch: Watched, from: number, what: string): void =>
  never(
    watch.heard.slice(from).flatMap(({ update }) => (update.type === 'error' ? [] : [update])),
    (word) => word.type === 'absent' || word.endpoints.length === 0,
    `nobody can know who is there while ${what}`,
  )

const bounded: SourceNeed = ({ traits }) =>
  traits.seesSilenceWithinMs === undefined ? 'the traits give no bound for silence (seesSilenceWithinMs)' : undefined

export const troubleCases: readonly SourceCase[] = [
  sourceCase(
    'tells an error first when the registry cannot be asked, and does not throw',
    async (desk) => {
      const service = desk.service()
      const all = desk.endpoints(service, 2)
      await desk.announce(service, all)
      const start = await killed(desk)
      const watch = desk.watch(service, desk.source())
      await watch.failsAfter('an error', 0)
      demand(watch.words().length === 0, 'something was told by a registry that is dead')
      const as = anyStart(desk)
      await start(as)
      if (as !== 'kept') await desk.announce(service, all)
      await watch.sees('both, once it is up', all, desk.recoveryMs)
    },
    [fault('kill')],
    120_000,
  ),

  sourceCase(
    'takes the death of the registry for no loss',
    async (desk) => {
      const { watch } = await scene(desk)
      const from = watch.heard.length
      await killed(desk)
      await watch.failsAfter('an error', from)
      await desk.pass(2_000)
      noWordSince(watch, from, 'the registry is dead')
    },
    [fault('kill')],
    120_000,
  ),

  sourceCase(
    'sees the truth when the registry is back on its data',
    async (desk) => {
      const { service, all, watch } = await scene(desk)
      const from = watch.heard.length
      const start = await killed(desk)
      await watch.failsAfter('an error', from)
      await start('kept')
      await desk.announce(service, all)
      await watch.sees('all four', all, desk.recoveryMs)
      noWordSince(watch, from, 'the registry was dead, and kept what it knew')
    },
    [startsAs('kept')],
    120_000,
  ),

  sourceCase(
    'tells a registry that is back and empty as it is, and sees who announces again',
    async (desk) => {
      const { service, all, watch } = await scene(desk)
      const from = watch.heard.length
      const start = await killed(desk)
      await watch.failsAfter('an error', from)
      await start('empty')
      await watch.sees('nobody', [], desk.recoveryMs)
      await desk.announce(service, all)
      await watch.sees('all four', all, desk.recoveryMs)
    },
    [startsAs('empty')],
    120_000,
  ),

  sourceCase(
    'sees the truth when the registry is back with an old state',
    async (desk) => {
      const { service, all, watch, faults } = await scene(desk)
      await faults.save?.()
      // Many changes, so that whatever counts them goes back by many.
      for (let round = 0; round < 5; round++) {
        await desk.announce(service, all.slice(round % 2))
        await watch.sees(`change ${round}`, all.slice(round % 2))
      }
      const from = watch.heard.length
      const start = await killed(desk)
      await watch.failsAfter('an error', from)
      await start('saved')
      await watch.sees('the three of the backup', all.slice(0, 3), desk.recoveryMs)
      await desk.announce(service, all.slice(3))
      await watch.sees('what is changed then', all.slice(3), desk.recoveryMs)
    },
    [startsAs('saved')],
    120_000,
  ),

  sourceCase(
    'tells an error once a try, after pauses that grow and differ',
    async (desk) => {
      const { watch } = await scene(desk)
      const from = watch.heard.length
      await killed(desk)
      const errors = () => watch.heard.slice(from).filter(({ update }) => update.type === 'error')
      await desk.until(
        'five errors',
        2 * desk.recoveryMs,
        () => errors().length >= 5,
        () => `told ${errors().length}`,
      )
      // The first one may be the end of a connection that stood, and the next a try at once.
      const told = errors().slice(1)
      const pauses = told
        .map(({ update }, index) => {
          const promised = update.type === 'error' ? update.retryInMs : undefined
          return (
            promised ??
            (told[index + 1] === undefined
              ? undefined
              : (told[index + 1] as { at: number }).at - (told[index] as { at: number }).at)
          )
        })
        .filter((pause) => pause !== undefined)
      const shown = pauses.map((pause) => Math.round(pause)).join(', ')
      demand(Math.max(...pauses) >= 200, `it asks in a hurry while the registry fails: ${shown} ms`)
      demand((pauses.at(-1) as number) > (pauses[0] as number), `pauses do not grow: ${shown} ms`)
      const exact = pauses.every(
        (pause, index) => index === 0 || Number.isInteger(pause / (pauses[index - 1] as number)),
      )
      demand(!exact, `pauses have no jitter: ${shown} ms`)
    },
    [fault('kill')],
    180_000,
  ),

  sourceCase(
    'takes a registry that is stuck for no loss, and goes on',
    async (desk) => {
      const { service, all, watch, faults } = await scene(desk)
      const from = watch.heard.length
      const resume = mendOnce(desk, await faults.pause?.())
      watch.refresh()
      await desk.pass(2_000)
      noWordSince(watch, from, 'the registry is stuck')
      await resume()
      await desk.announce(service, all)
      await watch.sees('all four', all, desk.recoveryMs)
      noWordSince(watch, from, 'the registry was stuck')
    },
    [fault('pause')],
    120_000,
  ),

  sourceCase(
    'gives up a connection on which nothing comes, and goes on',
    async (desk) => {
      const { service, all, watch, faults } = await scene(desk)
      const from = watch.heard.length
      const mend = mendOnce(desk, await faults.freeze?.())
      await desk.announce(service, all)
      const within = desk.traits.seesSilenceWithinMs ?? 0
      // Over a connection of its own it may get through; else it has to say that it cannot.
      await desk.until(
        'an error, or the change over another connection',
        within,
        () =>
          watch.heard.slice(from).some(({ update }) => update.type === 'error') ||
          sameSet(watch.endpoints(), all, desk.looks),
        () => `last told ${some(watch.endpoints(), desk.looks)}`,
      )
      noWordSince(watch, from, 'the connection is silent')
      await mend()
      await watch.sees('all four', all, desk.recoveryMs)
    },
    [fault('freeze'), bounded],
    180_000,
  ),

  sourceCase(
    'goes on when its connections are cut',
    async (desk) => {
      const { service, all, watch, faults } = await scene(desk)
      const from = watch.heard.length
      for (let round = 0; round < 3; round++) {
        await faults.cut?.()
        await desk.announce(service, all.slice(round))
        await watch.sees('who is there', all.slice(round), desk.recoveryMs)
      }
      noWordSince(watch, from, 'a connection is cut')
    },
    [fault('cut')],
    120_000,
  ),

  sourceCase(
    'bears slow answers',
    async (desk) => {
      const service = desk.service()
      const all = desk.endpoints(service, 3)
      await desk.announce(service, all.slice(1))
      mendOnce(desk, await desk.lab.faults?.slow?.(700))
      const watch = desk.watch(service)
      await watch.sees('both', all.slice(1), desk.recoveryMs)
      await desk.announce(service, all)
      await watch.sees('all three', all, desk.recoveryMs + 5_000)
      demand(watch.errors().length === 0, 'answers that take 700 ms were told as errors')
    },
    [fault('slow')],
    60_000,
  ),

  sourceCase(
    'takes answers that cannot be read for errors, never for nobody',
    async (desk) => {
      const { service, all, watch, faults } = await scene(desk)
      const from = watch.heard.length
      const mend = mendOnce(desk, await faults.garble?.())
      // Something has changed, so that it has to read.
      await desk.announce(service, all).catch(() => {})
      watch.refresh()
      await watch.failsAfter('an error', from)
      noWordSince(watch, from, 'answers cannot be read')
      await mend()
      await desk.announce(service, all)
      await watch.sees('all four', all, desk.recoveryMs)
    },
    [fault('garble')],
    120_000,
  ),

  sourceCase(
    'leaves out what is no endpoint, says so, and gives the rest',
    async (desk) => {
      const service = desk.service()
      const all = desk.endpoints(service, 2)
      await desk.announce(service, all)
      await desk.lab.spoil?.(service)
      const watch = desk.watch(service)
      await watch.sees('both that can be used', all)
      const last = watch.last()
      demand(
        last?.type === 'snapshot' && last.note !== undefined && last.note !== '',
        'nobody was told that something was left out (note)',
      )
    },
    [({ spoil }) => (spoil === undefined ? 'the lab cannot announce what is no endpoint' : undefined)],
  ),
]
