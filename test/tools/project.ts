// What every tool of this folder needs: the folders of the project, and a way to run a command.
import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The top folder of the repository, without a slash at its end. */
export const root: string = fileURLToPath(new URL('../..', import.meta.url)).replace(/[\\/]$/, '')

/** A path inside the repository. */
export const inRoot = (...path: readonly string[]): string => join(root, ...path)

/** An ignored folder of the repository for what tools write; made on demand. */
export const cacheFolder = (...path: readonly string[]): string => {
  const folder = inRoot('.cache', ...path)
  mkdirSync(folder, { recursive: true })
  return folder
}

/** The same, emptied. */
export const emptyCacheFolder = (...path: readonly string[]): string => {
  rmSync(inRoot('.cache', ...path), { recursive: true, force: true })
  return cacheFolder(...path)
}

/** All files below a folder of the repository, as paths relative to the repository with `/`, sorted. */
export const filesBelow = (folder: string): readonly string[] => {
  const found: string[] = []
  const walk = (path: string): void => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      const inner = join(path, entry.name)
      if (entry.isDirectory()) walk(inner)
      else found.push(relative(root, inner).split(sep).join('/'))
    }
  }
  walk(inRoot(folder))
  return found.sort()
}

/** The parts of package.json that tools read. */
export interface Manifest {
  readonly name: string
  readonly version: string
  readonly dependencies: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, { types: string; default: string }>>>>
}

/** package.json, read anew. */
export const manifest = (): Manifest => JSON.parse(readFileSync(inRoot('package.json'), 'utf8')) as Manifest

/** The names of the built entries: `index`, `errors`, ... */
export const entryNames = (): readonly string[] =>
  Object.values(manifest().exports)
    .filter((target) => typeof target !== 'string')
    .map((target) => /([^/]+)\.js$/.exec(target.import?.default ?? '')?.[1] ?? '')

/** How a command ended and what it printed. */
export interface Ran {
  readonly code: number
  readonly output: string
}

/** Options of {@link run}. */
export interface RunOptions {
  readonly cwd?: string | undefined
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /** Print at once instead of collecting. Default false. */
  readonly show?: boolean | undefined
}

/** Runs a command to its end; never rejects for a command that fails. */
export const run = (command: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> =>
  new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: options.cwd ?? root,
      env: { ...process.env, ...options.env },
      stdio: options.show ? 'inherit' : ['ignore', 'pipe', 'pipe'],
    })
    const chunks: Buffer[] = []
    child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.stderr?.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.once('error', (error) => resolve({ code: 127, output: `${command}: ${error.message}` }))
    child.once('close', (code) => resolve({ code: code ?? 1, output: Buffer.concat(chunks).toString('utf8') }))
  })

/** Runs a command and throws what it printed when it fails. */
export const mustRun = async (command: string, args: readonly string[], options?: RunOptions): Promise<string> => {
  const { code, output } = await run(command, args, options)
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}\n${output}`)
  return output
}

/** The path of a tool that this project depends on. */
export const tool = (name: string): string => inRoot('node_modules', '.bin', name)

const newest = (paths: readonly string[]): number =>
  Math.max(...paths.map((path) => statSync(inRoot(path), { throwIfNoEntry: false })?.mtimeMs ?? 0))

/** Builds `dist` unless it is newer than all that it is made of. */
export const build = async (): Promise<void> => {
  const made = ['index.js', 'index.cjs', 'index.d.ts', 'index.d.cts'].map(
    (name) => statSync(inRoot('dist', name), { throwIfNoEntry: false })?.mtimeMs ?? 0,
  )
  const inputs = ['package.json', 'tsconfig.json', 'tsup.config.ts', ...filesBelow('src')]
  if (newest(inputs) < Math.min(...made)) return
  await mustRun(tool('tsup'), [])
}

/** Builds and packs; answers the path of the tarball. */
export const pack = async (): Promise<string> => {
  await build()
  const folder = emptyCacheFolder('pack')
  await mustRun('npm', ['pack', '--ignore-scripts', '--pack-destination', folder])
  const [name] = readdirSync(folder)
  if (name === undefined) throw new Error('npm pack wrote nothing')
  return join(folder, name)
}
