// `npm test`: everything that runs without a server, then the suites of every real server that is up.
// What is left out is named. The last line is the sum over all of it: `N passed, N failed`.
// `npm test -- test/policies` passes the filter on to vitest.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { comesLater, isOptional, serverAnswers } from '../services/servers.ts'
import { cacheFolder, inRoot, run, tool } from './project.ts'
import { type Count, countReport } from './test-report.ts'

/** Projects of real servers: three runs beside one another, of about the same length. */
const SIDE_BY_SIDE = [['services'], ['rabbitmq'], ['kafka', 'mariadb']] as const

const filter = process.argv.slice(2)
const requireServices = process.env.FAIRLEAD_REQUIRE_SERVICES === '1'

/** A suite names its server by its folder: `test/conformance/<server>/x.test.ts`. */
const serversWithSuites = (): readonly string[] => {
  const folders = ['test/conformance', 'test/chaos'].filter((folder) => existsSync(inRoot(folder)))
  const names = folders.flatMap((folder) =>
    readdirSync(inRoot(folder), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      // What suites share has a folder as well.
      .filter(({ name }) =>
        readdirSync(join(inRoot(folder), name), { recursive: true }).some((file) => String(file).endsWith('.test.ts')),
      )
      .map((entry) => entry.name),
  )
  return [...new Set(names)].sort()
}

const vitest = async (name: string, projects: readonly string[], env: Record<string, string> = {}): Promise<Count> => {
  const report = join(cacheFolder('test'), `${name}.json`)
  rmSync(report, { force: true })
  const args = [
    'run',
    ...projects.flatMap((project) => ['--project', project]),
    '--passWithNoTests',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...filter,
  ]
  const { code } = await run(tool('vitest'), args, { show: true, env })
  return countReport(existsSync(report) ? readFileSync(report, 'utf8') : undefined, code)
}

const counts: Count[] = []
counts.push(await vitest('local', ['unit', 'types', 'package']))

const suites = serversWithSuites()
// Those that take minutes to build were built meanwhile. Whoever asked for something else does not wait for them.
const wanted = (name: string): boolean =>
  filter.length === 0 || filter.some((part) => part.includes(name) || /conformance|chaos/.test(part))
const building = suites.filter((name) => comesLater(name) && !isOptional(name) && wanted(name))
if (building.length > 0) await run(inRoot('test/services/wait'), building, { show: true })
const answers = await Promise.all(suites.map(serverAnswers))
const missing = suites.filter((_, index) => !answers[index])
if (suites.length > 0) {
  // All of them mostly wait: for servers that start, and for connections that are found dead.
  const env = { FAIRLEAD_LEFT_OUT: missing.join(',') }
  counts.push(
    ...(
      await Promise.all(
        SIDE_BY_SIDE.map(async (projects, at) => {
          const own = { ...env, FAIRLEAD_PORTS: String(20_000 + at * 3_000) }
          const each: Count[] = []
          for (const project of projects) each.push(await vitest(project, [project], own))
          return each
        }),
      )
    ).flat(),
  )
}

for (const { skipped } of counts) for (const name of skipped) console.log(`did not run: ${name}`)
if (missing.length > 0) {
  console.log(`left out, because the server is not up: ${missing.join(', ')} (start it with test/services/up)`)
  // A client that could not be built, or not yet, is no fault of ours: its suite is named above, and runs as soon as it is there.
  const required = missing.filter((name) => !isOptional(name))
  if (requireServices && required.length > 0)
    counts.push({ passed: 0, failed: required.length, skipped: [], failures: [`not up: ${required.join(', ')}`] })
}
const passed = counts.reduce((sum, count) => sum + count.passed, 0)
const failed = counts.reduce((sum, count) => sum + count.failed, 0)
const nothingRan = passed + failed === 0
if (nothingRan) console.log('no test was found')
// Last, so that the end of a long log says what is wrong.
for (const { failures } of counts) for (const failure of failures) console.log(`failed: ${failure}`)
process.exitCode = failed > 0 || nothingRan ? 1 : 0
console.log(`${passed} passed, ${failed} failed`)
