// The rooms and their arrows, judged by reading every file of src; and, for each rule, proof that it catches a breach.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  badForm,
  brokenArrows,
  cycles,
  hiddenTime,
  importsOf,
  logicInFrontDoor,
  type Sources,
  strayTopLevel,
  strayVendors,
  testsThatNeverRun,
} from './tools/architecture.ts'
import { filesBelow, inRoot, root } from './tools/project.ts'

const real: Sources = new Map(
  filesBelow('src').map((path) => [path.slice('src/'.length), readFileSync(inRoot(path), 'utf8')]),
)
const of = (files: Readonly<Record<string, string>>): Sources => new Map(Object.entries(files))

/** Top-level names that git does not ignore. */
const topLevelNames = (): readonly string[] => {
  const names = readdirSync(root)
  try {
    const ignored = execFileSync('git', ['check-ignore', ...names], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return names.filter((name) => !ignored.split('\n').includes(name))
  } catch {
    // No git, or nothing ignored: judge all but what tools make.
    return names.filter((name) => !['node_modules', 'dist', 'coverage'].includes(name))
  }
}

describe('the tree as it is', () => {
  it('reads the source', () => expect(real.size).toBeGreaterThan(10))
  it('has imports along the arrows only', () => expect(brokenArrows(real)).toEqual([]))
  it('has no cycle', () => expect(cycles(real)).toEqual([]))
  it('has time and randomness in core/clock.ts only', () => expect(hiddenTime(real)).toEqual([]))
  it('names each package in one place', () => expect(strayVendors(real)).toEqual([]))
  it('has kebab-case files of at most 400 lines and no default export', () => expect(badForm(real)).toEqual([]))
  it('has a front door without logic', () => expect(logicInFrontDoor(real)).toEqual([]))
  it('has nothing at its top that does not belong there', () => expect(strayTopLevel(topLevelNames())).toEqual([]))
  it('has no test that never runs', () => expect(testsThatNeverRun(filesBelow('test'))).toEqual([]))
})

describe('each rule catches its breach', () => {
  it.each([
    ['errors/a.ts', 'core/b.ts'],
    ['core/a.ts', 'policies/b.ts'],
    ['policies/a.ts', 'rpi/b.ts'],
    ['rpi/a.ts', 'discovery/b.ts'],
    ['rpi/a.ts', 'messaging/b.ts'],
    ['discovery/a.ts', 'rpi/b.ts'],
    ['messaging/a.ts', 'adapters/http/b.ts'],
    ['core/a.ts', 'testing/b.ts'],
    ['adapters/http/a.ts', 'testing/b.ts'],
    ['testing/a.ts', 'adapters/http/b.ts'],
    ['core/a.ts', 'index.ts'],
    ['attic/a.ts', 'core/b.ts'],
  ])('%s importing %s', (from, to) => {
    const up = '../'.repeat(from.split('/').length - 1)
    for (const code of [
      `import { b } from '${up}${to}'`,
      `import type { B } from '${up}${to}'`,
      `export { b } from '${up}${to}'`,
      `type B = import('${up}${to}').B`,
    ]) {
      expect(brokenArrows(of({ [from]: code, [to]: '' }))).not.toEqual([])
    }
  })

  it.each([
    ['core/a.ts', 'errors/b.ts'],
    ['core/contracts/a.ts', 'core/b.ts'],
    ['rpi/a.ts', 'policies/b.ts'],
    ['adapters/http/a.ts', 'discovery/b.ts'],
    ['testing/a.ts', 'adapters/memory/b.ts'],
  ])('while %s may import %s', (from, to) => {
    const up = '../'.repeat(from.split('/').length - 1)
    expect(brokenArrows(of({ [from]: `import { b } from '${up}${to}'`, [to]: '' }))).toEqual([])
  })

  it('an import of a file that is not there, and of the package by its own name', () => {
    expect(brokenArrows(of({ 'core/a.ts': "import './missing.ts'" }))).not.toEqual([])
    expect(brokenArrows(of({ 'core/a.ts': "import 'fairlead/errors'" }))).not.toEqual([])
  })

  it('a cycle, also one of types only', () => {
    const files = {
      'core/a.ts': "import { b } from './b.ts'",
      'core/b.ts': "import type { C } from './c.ts'",
      'core/c.ts': "import { a } from './a.ts'",
    }
    expect(cycles(of(files))).toEqual(['core/a.ts > core/b.ts > core/c.ts > core/a.ts'])
    expect(cycles(of({ ...files, 'core/c.ts': '' }))).toEqual([])
    expect(cycles(of({ 'core/a.ts': "import './a.ts'" }))).toHaveLength(1)
  })

  it.each([
    'setTimeout(f, 1)',
    'setInterval(f, 1)',
    'setImmediate(f)',
    'globalThis.setTimeout(f, 1)',
    'const later = setTimeout',
    'call({ setTimeout })',
    'Date.now()',
    'globalThis.Date.now()',
    'const now = Date.now',
    'Date()',
    'new Date()',
    'new Date',
    'performance.now()',
    'Math.random()',
    'const random = Math.random',
    'AbortSignal.timeout(1)',
    'process.hrtime.bigint()',
    "import { setTimeout as wait } from 'node:timers/promises'",
    "import { performance } from 'node:perf_hooks'",
  ])('hidden time or randomness: %s', (code) => {
    expect(hiddenTime(of({ 'core/a.ts': code }))).not.toEqual([])
    expect(hiddenTime(of({ 'testing/a.ts': code }))).not.toEqual([])
    expect(hiddenTime(of({ 'core/clock.ts': code }))).toEqual([])
  })

  it.each([
    '// setTimeout(f, 1)',
    "const text = 'Date.now()'",
    'clock.setTimeout(f, 1)',
    'interface Clock { setTimeout(f: () => void): void; now(): number }',
    'const at = new Date(clock.now()).toUTCString()',
    'Date.parse(text)',
    'value instanceof Date',
    'let when: Date',
    'socket.setTimeout(0)',
  ])('while this hides nothing: %s', (code) => {
    expect(hiddenTime(of({ 'core/a.ts': code }))).toEqual([])
  })

  it('lets the fake clock give real I/O a turn, and no more than that', () => {
    expect(hiddenTime(of({ 'testing/fake-clock.ts': 'setImmediate(f)' }))).toEqual([])
    expect(hiddenTime(of({ 'testing/fake-clock.ts': 'setTimeout(f, 1)' }))).toHaveLength(1)
  })

  it('a package outside its file', () => {
    for (const name of ['opossum', 'p-retry', 'bottleneck', 'undici', 'undici/types/dispatcher']) {
      for (const code of [
        `import x from '${name}'`,
        `const x = lazy('${name}')`,
        `const x = lazy<Some>('${name}')`,
        `require('${name}')`,
        `await import('${name}')`,
      ]) {
        expect(strayVendors(of({ 'core/a.ts': code }))).not.toEqual([])
      }
    }
    const wait = "lazy('p-timeout')"
    expect(strayVendors(of({ 'core/wait.ts': wait }))).toEqual([])
    expect(strayVendors(of({ 'core/wait.ts': wait, 'rpi/other.ts': wait }))).not.toEqual([])
    expect(
      strayVendors(of({ 'policies/retry.ts': "lazy('p-retry')", 'adapters/http/pool.ts': "lazy('undici')" })),
    ).toEqual([])
  })

  it('a default export, a name that is not kebab-case, a file past 400 lines', () => {
    for (const code of ['export default 1', 'export default function f() {}', 'const a = 1\nexport { a as default }']) {
      expect(badForm(of({ 'core/a.ts': code }))).not.toEqual([])
    }
    for (const file of ['core/camelCase.ts', 'core/snake_case.ts', 'Core/a.ts'])
      expect(badForm(of({ [file]: '' }))).not.toEqual([])
    expect(badForm(of({ 'core/a-b2.ts': 'x\n'.repeat(400) }))).toEqual([])
    expect(badForm(of({ 'core/a.ts': 'x\n'.repeat(401) }))).not.toEqual([])
  })

  it('logic in the front door', () => {
    for (const code of ['export const a = 1', "import './core/a.ts'", "export * from './core/index.ts'", 'start()']) {
      expect(logicInFrontDoor(of({ 'index.ts': code }))).not.toEqual([])
    }
    expect(logicInFrontDoor(of({ 'index.ts': "export { a, type B } from './core/a.ts'" }))).toEqual([])
  })

  it('a stray thing at the top, and a test that never runs', () => {
    expect(strayTopLevel(['src', 'scripts', '.ci'])).toEqual(['scripts'])
    expect(testsThatNeverRun(['test/a.test.ts', 'test/b.spec.ts', 'test/c.test.mts'])).toEqual([
      'test/b.spec.ts',
      'test/c.test.mts',
    ])
  })

  it('sees every way to import', () => {
    const code =
      "import a from 'a'\nimport type { B } from 'b'\nexport * from 'c'\nconst d = await import('d')\ntype E = typeof import('e')\nimport 'f'"
    expect(importsOf('x.ts', code)).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
  })
})
