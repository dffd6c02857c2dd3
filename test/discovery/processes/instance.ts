// One instance of the service, as a process of its own: listens, announces itself if it is told where, and notes each call in a file that outlives it.
import { openSync, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { consulRegistrar } from '../../../src/adapters/consul/index.ts'
import { fileRegistrar } from '../../../src/adapters/file/index.ts'
import type { Registrar } from '../../../src/core/contracts/source.ts'
import { createServerAdapter } from '../../../src/rpi/index.ts'
import type { Told } from './fleet.ts'
import { Parcels } from './parcels.ts'

const { id, notes, workMs, colour, file, consul, drainMs, ttlMs } = JSON.parse(process.argv[2] ?? '{}') as Told
const book = openSync(notes, 'a')

const work = async ({ call }: { readonly call: string }): Promise<{ by: string; colour: string }> => {
  writeSync(book, `got ${call}\n`)
  await sleep(workMs)
  writeSync(book, `did ${call}\n`)
  return { by: id, colour }
}
const registrar: Registrar | undefined =
  file !== undefined
    ? fileRegistrar({ path: file })
    : consul !== undefined
      ? consulRegistrar({ url: consul })
      : undefined

const adapter = createServerAdapter(Parcels, { track: work, order: work })
const { port } = await adapter.listen({
  host: '127.0.0.1',
  ...(registrar === undefined ? {} : { register: { registrar, id, drainMs, ttlMs, required: true } }),
})
process.send?.({ port })
// Nothing more: a process that has left ends by itself. One whose parent is gone ends as well.
process.once('disconnect', () => process.exit())
process.channel?.unref()
