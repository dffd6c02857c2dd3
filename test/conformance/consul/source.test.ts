// The source against real agents: one in memory, which is empty after each start, and one on disk, which keeps its state or is given an old one.
import { afterAll, describe, test } from 'vitest'
import { testSource } from '../../../src/testing/source-suite/index.ts'
import { startConsul } from '../../services/consul-instance.ts'
import { consulSourceLab } from './labs.ts'

const inMemory = await startConsul()
const onDisk = await startConsul(true)
afterAll(async () => {
  await inMemory.remove()
  await onDisk.remove()
})

await testSource('consul', () => consulSourceLab(inMemory), { describe, test })
await testSource('consul on disk', () => consulSourceLab(onDisk, ['kept', 'saved']), {
  describe,
  test,
  only: ['the registry is back on its data', 'back with an old state'],
})
