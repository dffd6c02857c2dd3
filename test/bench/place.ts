// Where a bench runs: a folder outside the repository with the built package, its dependencies and the peers that are
// measured beside it, all in the newest versions that fit the Node in use.
import { cpSync, existsSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { build as tsup } from 'tsup'
import bundle from '../../tsup.config.ts'
import { inRoot, manifest, mustRun } from '../tools/project.ts'

/** A Node with the packages to measure. */
export interface Place {
  /** Full version. */
  readonly version: string
  readonly node: string
  /** Here lie the compiled workers; packages are found from here. */
  readonly folder: string
  /** What npm picked. */
  readonly picked: Readonly<Record<string, string>>
}

const { FAIRLEAD_HOME, XDG_CACHE_HOME } = process.env
const home = FAIRLEAD_HOME || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'fairlead')

/** How a place differs from the usual one. */
export interface PlaceOptions {
  /** What is measured there: places with other peers must not be the same. */
  readonly area?: string | undefined
  /** Versions of what the peers depend on, as in a package.json. */
  readonly overrides?: Readonly<Record<string, string>> | undefined
  /** Versions of peers. Default: the newest that fits the Node. */
  readonly versions?: Readonly<Record<string, string>> | undefined
}

/**
 * Installs for a Node, builds, and compiles the workers. What was installed before is used again.
 * @param major of the Node; that of this process needs no download
 */
export async function place(
  major: string,
  peers: readonly string[],
  workers: Readonly<Record<string, string>>,
  { area = '', overrides, versions = {} }: PlaceOptions = {},
): Promise<Place> {
  const own = process.versions.node.split('.')[0] === major
  const node = own ? process.execPath : await nodeBinary(major)
  const folder = join(home, 'bench', area, major)
  await install(folder, node, Object.fromEntries(peers.map((name) => [name, versions[name] ?? '>=0'])), overrides)
  const target = join(folder, 'node_modules', 'fairlead')
  rmSync(target, { recursive: true, force: true })
  cpSync(await built(), join(target, 'dist'), { recursive: true })
  cpSync(inRoot('package.json'), join(target, 'package.json'))
  await compile(workers, join(folder, 'workers'))
  const names = [...Object.keys(manifest().dependencies), ...peers]
  return {
    version: (await mustRun(node, ['--version'])).trim(),
    node,
    folder: join(folder, 'workers'),
    picked: Object.fromEntries(names.map((name) => [name, versionOf(folder, name)])),
  }
}

async function nodeBinary(major: string): Promise<string> {
  const folder = join(home, 'node', major)
  const binary = join(folder, 'node_modules', 'node', 'bin', 'node')
  if (!existsSync(binary)) {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'package.json'), '{ "private": true }\n')
    await mustRun('npm', ['install', '--no-audit', '--no-fund', `node@${major}`], { cwd: folder })
  }
  return binary
}

// Run by the Node that will use them, so that npm prefers the versions whose `engines` fit it.
async function install(
  folder: string,
  node: string,
  peers: Readonly<Record<string, string>>,
  overrides: PlaceOptions['overrides'],
): Promise<void> {
  const file = join(folder, 'package.json')
  const wanted = JSON.stringify({
    private: true,
    type: 'module',
    dependencies: { ...manifest().dependencies, ...peers },
    overrides,
  })
  if (existsSync(join(folder, 'node_modules')) && existsSync(file) && readFileSync(file, 'utf8') === wanted) return
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const given = process.env.npm_execpath
  const npm = given?.endsWith('npm-cli.js')
    ? given
    : realpathSync((await mustRun('sh', ['-c', 'command -v npm'])).trim())
  const env = {
    PATH: `${dirname(node)}${delimiter}${process.env.PATH ?? ''}`,
    NODE_OPTIONS: '',
    npm_config_user_agent: undefined,
  }
  const names = Object.entries({ ...manifest().dependencies, ...peers }).map(([name, range]) => `${name}@${range}`)
  writeFileSync(file, JSON.stringify({ private: true, type: 'module', overrides }))
  const args = [npm, 'install', '--no-audit', '--no-fund', '--loglevel=error', '--no-save', ...names]
  await mustRun(node, args, { cwd: folder, env })
  writeFileSync(file, wanted)
}

let outcome: Promise<string> | undefined

// As it is published, without the types: `keepNames` of a TypeScript runner would be measured otherwise.
function built(): Promise<string> {
  outcome ??= (async () => {
    const folder = join(home, 'bench', 'dist')
    await tsup({ ...bundle, dts: false, outDir: folder, config: false })
    return folder
  })()
  return outcome
}

async function compile(workers: Readonly<Record<string, string>>, folder: string): Promise<void> {
  await tsup({
    config: false,
    silent: true,
    clean: true,
    dts: false,
    format: 'esm',
    target: 'node20',
    platform: 'node',
    splitting: false,
    entry: { ...workers },
    outDir: folder,
    external: [/^[^./]/],
    tsconfig: inRoot('tsconfig.json'),
  })
}

function versionOf(folder: string, name: string): string {
  const { version } = JSON.parse(readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8')) as {
    readonly version: string
  }
  return version
}
