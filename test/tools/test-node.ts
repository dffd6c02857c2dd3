// `npm run test:node [-- 20 24]`: for each Node version, installs the packed tarball into an empty folder with that Node (so
// that npm picks the dependency majors that fit it), runs a smoke test there, then the unit tests on those dependencies.
// Node itself comes from the `node` package of npm and is kept outside the repository.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { cacheFolder, emptyCacheFolder, inRoot, manifest, mustRun, pack, type RunOptions, run } from './project.ts'
import { countReport } from './test-report.ts'

const versions = process.argv.length > 2 ? process.argv.slice(2) : ['20', '22', '24', '26']
const { FAIRLEAD_HOME, XDG_CACHE_HOME } = process.env
const home = FAIRLEAD_HOME || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'fairlead')

/** npm's own program, so that it can be run by another Node than the one it came with. */
const findNpm = async (): Promise<string> => {
  const given = process.env.npm_execpath
  if (given?.endsWith('npm-cli.js')) return given
  return realpathSync((await mustRun('sh', ['-c', 'command -v npm'])).trim())
}

const installNode = async (version: string): Promise<string> => {
  const folder = join(home, 'node', version)
  const binary = join(folder, 'node_modules', 'node', 'bin', 'node')
  if (!existsSync(binary)) {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'package.json'), '{ "private": true }\n')
    await mustRun('npm', ['install', '--no-audit', '--no-fund', `node@${version}`], { cwd: folder })
  }
  return binary
}

interface Outcome {
  readonly node: string
  readonly picked: Readonly<Record<string, string>>
  readonly smoke: string
  readonly passed: number
  readonly failed: number
}

const test = async (version: string, tarball: string, npm: string): Promise<Outcome> => {
  const node = await installNode(version)
  const env = {
    PATH: `${dirname(node)}${delimiter}${process.env.PATH ?? ''}`,
    NODE_OPTIONS: '',
    npm_config_user_agent: undefined,
  }
  const fullVersion = (await mustRun(node, ['--version'])).trim()
  const folder = mkdtempSync(join(tmpdir(), `fairlead-node-${version}-`))
  const problems: string[] = []
  const attempt = async (name: string, args: readonly string[], options: RunOptions): Promise<boolean> => {
    const { code, output } = await run(node, args, options)
    if (code !== 0) problems.push(`${fullVersion}, ${name}:\n${output}`)
    return code === 0
  }
  try {
    writeFileSync(join(folder, 'package.json'), '{ "name": "empty", "private": true }\n')
    await mustRun(node, [npm, 'install', '--no-audit', '--no-fund', '--loglevel=error', tarball], { cwd: folder, env })
    const picked = Object.fromEntries(
      Object.keys(manifest().dependencies).map((name) => {
        const text = readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8')
        return [name, (JSON.parse(text) as { version: string }).version]
      }),
    )
    cpSync(inRoot('test', 'tools', 'smoke'), folder, { recursive: true })
    const smoke = [
      (await attempt('smoke test as ESM', ['smoke.mjs'], { cwd: folder, env })) ? 'ESM' : 'ESM FAILED',
      (await attempt('smoke test as CommonJS', ['smoke.cjs'], { cwd: folder, env })) ? 'CJS' : 'CJS FAILED',
    ]

    // A copy of the tree inside the repository: what npm picked lies nearest, the tools are found further up.
    const copy = emptyCacheFolder('test-node', version)
    for (const name of ['src', 'test', 'examples', 'docs', 'package.json', 'tsconfig.json', 'vitest.config.ts']) {
      if (existsSync(inRoot(name))) cpSync(inRoot(name), join(copy, name), { recursive: true })
    }
    for (const name of ['architecture.test.ts', 'tools/docs.test.ts']) rmSync(join(copy, 'test', name), { force: true })
    cpSync(join(folder, 'node_modules'), join(copy, 'node_modules'), { recursive: true })
    rmSync(join(copy, 'node_modules', 'fairlead'), { recursive: true, force: true })
    const report = join(cacheFolder('test'), `node-${version}.json`)
    rmSync(report, { force: true })
    const args = [
      'run',
      '--root',
      copy,
      '--project',
      'unit',
      '--reporter=dot',
      '--reporter=json',
      `--outputFile.json=${report}`,
    ]
    const { code, output } = await run(node, [inRoot('node_modules', 'vitest', 'vitest.mjs'), ...args], {
      cwd: copy,
      env,
    })
    const count = countReport(existsSync(report) ? readFileSync(report, 'utf8') : undefined, code)
    if (count.failed > 0) problems.push(`${fullVersion}, unit tests:\n${output}`)
    for (const problem of problems) console.log(problem)
    const smokeFailed = smoke.filter((word) => word.endsWith('FAILED')).length
    return {
      node: fullVersion,
      picked,
      smoke: smoke.join(', '),
      passed: count.passed + smoke.length - smokeFailed,
      failed: count.failed + smokeFailed,
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const npm = await findNpm()
const tarball = await pack()
const outcomes: Outcome[] = []
for (const version of versions) {
  console.log(`Node ${version} ...`)
  outcomes.push(await test(version, tarball, npm))
}
console.table(
  Object.fromEntries(
    outcomes.map(({ node, picked, smoke, passed, failed }) => [node, { ...picked, smoke, passed, failed }]),
  ),
)
const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0)
const failed = outcomes.reduce((sum, outcome) => sum + outcome.failed, 0)
process.exitCode = failed > 0 ? 1 : 0
console.log(`${passed} passed, ${failed} failed`)
