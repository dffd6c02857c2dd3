// `npm run check`: everything about the project that is not a test. Runs all steps, shows what the failing ones printed.
import { existsSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { apiReports } from './api.ts'
import { checkDocs } from './docs.ts'
import { generatedDocs } from './generate.ts'
import { filesBelow, inRoot, manifest, pack, root, run, tool } from './project.ts'

type Step = () => Promise<readonly string[]> | readonly string[]

const command =
  (name: string, ...args: readonly string[]): Step =>
  async () => {
    const { code, output } = await run(name, args, { env: { FORCE_COLOR: '0', NO_COLOR: '1' } })
    return code === 0 ? [] : [output.trim() || `ended with ${code}`]
  }

let tarball = ''

/** attw is content with a package that has no types at all, so this one looks for them. */
const declarations: Step = () =>
  Object.entries(manifest().exports).flatMap(([subpath, target]) => {
    if (typeof target === 'string') return existsSync(inRoot(target)) ? [] : [`${subpath}: ${target} is missing`]
    const files = ['import', 'require'].flatMap((kind) => [target[kind]?.types ?? '', target[kind]?.default ?? ''])
    const [esmTypes, , cjsTypes] = files
    const wrongNames =
      esmTypes?.endsWith('.d.ts') && cjsTypes?.endsWith('.d.cts') ? [] : [`${subpath}: names no .d.ts and .d.cts`]
    return [
      ...wrongNames,
      ...files.filter((file) => !existsSync(inRoot(file))).map((file) => `${subpath}: ${file || 'a file'} is missing`),
    ]
  })

/** A declaration that names a package breaks for users who lack it, or turns into `any` without a word. */
const vendorTypes: Step = () =>
  filesBelow('dist')
    .filter((path) => /\.d\.c?ts$/.test(path))
    .flatMap((path) =>
      [...readFileSync(inRoot(path), 'utf8').matchAll(/(?:\bfrom |\bimport ?\(?)['"]([^'".][^'"]*)['"]/g)]
        .map(([, specifier = '']) => specifier)
        .filter((specifier) => !isBuiltin(specifier))
        .map((specifier) => `${path} names ${specifier}`),
    )

const steps: readonly (readonly [string, Step])[] = [
  ['format and lint', command(tool('biome'), 'ci', '--colors=off', '--diagnostic-level=warn', '.')],
  ['types (TypeScript 6)', command(tool('tsc'), '--noEmit', '-p', root)],
  [
    'types that stand by themselves',
    command(tool('tsc'), '--noEmit', '-p', inRoot('test/tools/declarations.tsconfig.json')),
  ],
  [
    'types (TypeScript 7)',
    command(process.execPath, inRoot('node_modules/typescript-7/bin/tsc'), '--noEmit', '-p', root),
  ],
  ['unused code (knip)', command(tool('knip'), '--no-progress')],
  [
    'build and pack',
    async () => {
      tarball = await pack()
      return []
    },
  ],
  ['a declaration for every entry', declarations],
  ['no vendor type in a declaration', vendorTypes],
  ['publint', () => command(tool('publint'), 'run', tarball, '--strict')()],
  ['are the types wrong', () => command(tool('attw'), tarball, '--profile', 'node16', '--no-emoji', '--no-color')()],
  ['API report', () => apiReports(false)],
  ['generated documents', () => generatedDocs(false)],
  ['code in documents', checkDocs],
]

let failed = 0
for (const [name, step] of steps) {
  const began = performance.now()
  let problems: readonly string[]
  try {
    problems = await step()
  } catch (error) {
    problems = [error instanceof Error ? error.message : String(error)]
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  console.log(`${problems.length === 0 ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)`)
  for (const problem of problems) console.log(problem.replace(/^/gm, '       '))
  if (problems.length > 0) failed++
}
console.log(failed === 0 ? 'check: all is well' : `check: ${failed} of ${steps.length} steps failed`)
process.exitCode = failed === 0 ? 0 : 1
