// Packs the package once and unpacks it for the tests of this folder:
//   FAIRLEAD_BARE    an empty folder outside the repository with fairlead alone: none of its dependencies can be found
//   FAIRLEAD_COPIES  a folder in the repository with two installed copies, `one` and `two`, that find the dependencies
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cacheFolder, emptyCacheFolder, mustRun, pack } from '../tools/project.ts'

const unpack = async (tarball: string, folder: string): Promise<void> => {
  mkdirSync(join(folder, 'node_modules'), { recursive: true })
  // A package of its own: without it, `fairlead` would mean the repository that the folder lies in.
  writeFileSync(join(folder, 'package.json'), '{ "name": "empty", "private": true }\n')
  await mustRun('tar', ['-xzf', tarball, '-C', folder])
  renameSync(join(folder, 'package'), join(folder, 'node_modules', 'fairlead'))
}

/** Called by vitest before the first test of the project. */
export const setup = async (): Promise<() => void> => {
  const tarball = await pack()
  const bare = mkdtempSync(join(tmpdir(), 'fairlead-bare-'))
  await unpack(tarball, bare)
  const copies = emptyCacheFolder('copies')
  for (const name of ['one', 'two']) await unpack(tarball, cacheFolder('copies', name))
  process.env.FAIRLEAD_BARE = bare
  process.env.FAIRLEAD_COPIES = copies
  return () => rmSync(bare, { recursive: true, force: true })
}
