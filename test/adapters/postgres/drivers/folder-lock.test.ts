import { spawn, spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { lockFolder } from '../../../../src/adapters/postgres/drivers/folder-lock.ts'
import { lockPglite } from '../../../../src/adapters/postgres/drivers/pglite.ts'

const worker = fileURLToPath(new URL('./folder-lock-process.ts', import.meta.url))
const taken = expect.objectContaining({
  code: 'CONFLICT',
  effect: 'none',
  message: expect.stringContaining('in use by'),
})

let root: string
let folder: string
let file: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'fairlead-lock-'))
  folder = join(root, 'data')
  file = `${folder}.fairlead-lock`
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

/** A process that has come and gone. */
const deadPid = (): number => spawnSync(process.execPath, ['-e', '']).pid

describe('the lock of a folder', () => {
  it('is for one at a time, by whatever name, and leaves nothing behind', () => {
    mkdirSync(folder)
    symlinkSync(folder, join(root, 'other'))
    const unlock = lockFolder(folder)
    expect(() => lockFolder(folder)).toThrow(taken)
    expect(() => lockFolder(join(root, 'other'))).toThrow(taken)
    expect(() => lockFolder(join(root, 'x', '..', 'data'))).toThrow(taken)
    lockFolder(join(root, 'neighbour'))()
    unlock()
    unlock()
    lockFolder(folder)()
    expect(readdirSync(root).sort()).toEqual(['data', 'other'])
  })
  it('is taken over from the dead, not from the living nor from other machines', () => {
    const write = (owner: object): void =>
      writeFileSync(file, JSON.stringify({ id: 'x', host: hostname(), pid: process.pid, began: '', ...owner }))
    write({ pid: deadPid() })
    lockFolder(folder)()
    // The number of the process came again.
    if (existsSync('/proc/self/stat')) {
      write({ began: '1' })
      lockFolder(folder)()
    }
    write({})
    expect(() => lockFolder(folder)).toThrow(taken)
    write({ pid: deadPid(), host: 'elsewhere' })
    expect(() => lockFolder(folder)).toThrow(taken)
    expect(() => lockFolder(folder)).toThrow('cannot be seen from this machine')
    writeFileSync(file, 'half a lo')
    expect(() => lockFolder(folder)).toThrow(taken)
  })
  it('is taken over by one only', () => {
    writeFileSync(file, JSON.stringify({ id: 'dead', host: hostname(), pid: deadPid(), began: '' }))
    // Another one is at it.
    writeFileSync(`${file}.after-dead`, '')
    expect(() => lockFolder(folder)).toThrow(taken)
    // Or was, and crashed: both files are named.
    expect(() => lockFolder(folder)).toThrow(`(${file})`)
    expect(() => lockFolder(folder)).toThrow(`(${file}.after-dead)`)
    expect(() => lockFolder(folder)).toThrow('delete both files')
    rmSync(`${file}.after-dead`)
    lockFolder(folder)()
    expect(readdirSync(root)).toEqual([])
  })
  it('does not take away what another one has by now', () => {
    const unlock = lockFolder(folder)
    rmSync(file)
    const other = lockFolder(folder)
    unlock()
    expect(() => lockFolder(folder)).toThrow(taken)
    other()
  })
  it('has one winner among processes that find the same dead owner', async () => {
    for (let round = 0; round < 2; round++) {
      writeFileSync(file, JSON.stringify({ id: `dead-${round}`, host: hostname(), pid: deadPid(), began: '' }))
      const children = Array.from({ length: 4 }, () =>
        spawn(process.execPath, ['--import', 'tsx', worker, folder], { stdio: ['pipe', 'pipe', 'inherit'] }),
      )
      const said = await Promise.all(
        children.map(
          ({ stdout }) => new Promise<string>((resolve) => stdout.once('data', (text) => resolve(`${text}`))),
        ),
      )
      // The winner keeps it until all have tried.
      expect(said.sort()).toEqual(['CONFLICT', 'CONFLICT', 'CONFLICT', 'won'])
      const ends = children.map((child) => new Promise((resolve) => child.once('close', resolve)))
      for (const { stdin } of children) stdin.end()
      await Promise.all(ends)
      lockFolder(folder)()
    }
    expect(readdirSync(root)).toEqual([])
  }, 60_000)
})

it('PGlite on disk is locked, and nowhere else', () => {
  for (const dataDir of [undefined, '', 'memory://', 'idb://orders', 'opfs-ahp://orders']) lockPglite({ dataDir })()
  const unlock = lockPglite({ dataDir: folder })
  expect(() => lockPglite({ dataDir: `file://${folder}` })).toThrow(taken)
  expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ pid: process.pid })
  unlock()
})
