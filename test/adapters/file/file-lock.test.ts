import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type FileLockOptions, withFileLock } from '../../../src/adapters/file/file-lock.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { folder, until } from './lab.ts'

const clock = fakeClock()

async function lock(token: string, signal = new AbortController().signal): Promise<FileLockOptions> {
  return { path: join(await folder(), 'x.lock'), token, clock, random: seededRandom(1), signal }
}

describe('withFileLock', () => {
  it('lets one work at a time', async () => {
    const options = await lock('a')
    let inside = 0
    let most = 0
    const all = Promise.all(
      Array.from({ length: 8 }, (_, at) =>
        withFileLock({ ...options, token: `t${at}` }, async (held) => {
          most = Math.max(most, ++inside)
          await new Promise((resolve) => setTimeout(resolve, 2))
          expect(await held()).toBe(true)
          inside--
        }),
      ),
    )
    let over = false
    void all.then(() => (over = true))
    await until(() => over, clock, 10)
    expect(most).toBe(1)
    expect(await readdir(join(options.path, '..'))).toEqual([])
  })

  it('says that it was lost, and leaves it to who has it now', async () => {
    const options = await lock('a')
    await withFileLock(options, async (held) => {
      await writeFile(options.path, 'another')
      expect(await held()).toBe(false)
    })
    expect(await readFile(options.path, 'utf8')).toBe('another')
  })

  it('lets go when the work fails', async () => {
    const options = await lock('a')
    const failing = withFileLock(options, () => Promise.reject(new Error('mine')))
    await expect(failing).rejects.toThrow('mine')
    expect(await readdir(join(options.path, '..'))).toEqual([])
  })

  it('ends its waiting with the signal', async () => {
    const abort = new AbortController()
    const options = await lock('a', abort.signal)
    await writeFile(options.path, 'another')
    const waiting = withFileLock(options, async () => {})
    abort.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
    expect(await readFile(options.path, 'utf8')).toBe('another')
    expect(clock.pending).toBe(0)
  })
})
