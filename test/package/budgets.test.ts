// Budgets of size and import. Only counts and bytes are asserted; times depend on the machine, so they are printed, beside
// a bare `node -e 0` measured in turn with them.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { inRoot, run } from '../tools/project.ts'
import { bare, inNode } from './node.ts'

const sizeOf = (folder: string, nested = true): number =>
  readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    if (entry.name === 'node_modules' && !nested) return sum
    const path = join(folder, entry.name)
    return sum + (entry.isDirectory() ? sizeOf(path, nested) : statSync(path).size)
  }, 0)

/** The packages that an install of fairlead brings, found as Node finds them. */
const installedClosure = (): ReadonlyMap<string, number> => {
  const sizes = new Map<string, number>()
  const visit = (names: readonly string[]): void => {
    for (const name of names) {
      if (sizes.has(name)) continue
      const folder = inRoot('node_modules', name)
      sizes.set(name, sizeOf(folder, false))
      const { dependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
        dependencies?: Record<string, string>
      }
      visit(Object.keys(dependencies))
    }
  }
  const { dependencies } = JSON.parse(readFileSync(inRoot('package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  visit(Object.keys(dependencies))
  return sizes
}

const kilobytes = (bytes: number): string => `${Math.round(bytes / 1024)} kB`

it('installs at most 10 packages and 10 MB, of which fairlead itself at most 7 MB', () => {
  const own = sizeOf(join(bare(), 'node_modules', 'fairlead'))
  const closure = installedClosure()
  const sum = [...closure.values()].reduce((left, right) => left + right, own)
  console.log(`installed: fairlead ${kilobytes(own)}, with its ${closure.size} packages ${kilobytes(sum)}`)
  expect(closure.size).toBeLessThanOrEqual(10)
  expect(own).toBeLessThan(7 * 1024 * 1024)
  expect(sum).toBeLessThan(10 * 1024 * 1024)
})

/** The files and bytes of ours that importing the root reads. */
const staticImports = (entry: string): readonly string[] => {
  const seen = new Set<string>()
  const visit = (path: string): void => {
    if (seen.has(path)) return
    seen.add(path)
    const text = readFileSync(path, 'utf8')
    for (const [, from = '', bare = from] of text.matchAll(
      /\bfrom\s*['"](\.[^'"]+)['"]|\bimport\s*['"](\.[^'"]+)['"]/g,
    )) {
      visit(join(path, '..', bare))
    }
  }
  visit(entry)
  return [...seen]
}

it('reads at most 45 files and 800 kB of its own when the root is imported', async () => {
  const dist = join(bare(), 'node_modules', 'fairlead', 'dist')
  const esm = staticImports(join(dist, 'index.js'))
  const code = "require('fairlead'); console.log(JSON.stringify(Object.keys(require.cache)))"
  const cjs = (await inNode(bare(), 'commonjs', code)) as readonly string[]
  for (const [name, files] of [
    ['ESM', esm],
    ['CommonJS', cjs],
  ] as const) {
    const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0)
    console.log(`${name} root import: ${files.length} files, ${kilobytes(bytes)}`)
    expect(files.length).toBeGreaterThan(1)
    expect(files.length).toBeLessThanOrEqual(45)
    expect(bytes).toBeLessThan(800 * 1024)
  }
})

it('loads no network module of Node for the root', async () => {
  const code =
    "const before = new Set(process.moduleLoadList); require('fairlead'); console.log(JSON.stringify(process.moduleLoadList.filter((name) => !before.has(name))))"
  const loaded = (await inNode(bare(), 'commonjs', code)) as readonly string[]
  const heavy = loaded.filter((name) =>
    /^NativeModule (http|https|http2|net|tls|dns|zlib|_http_.*|_tls_.*|internal\/deps\/undici\/undici)$/.test(name),
  )
  expect(heavy).toEqual([])
})

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN

it('prints what importing costs', async () => {
  const cases: Readonly<Record<string, readonly string[]>> = {
    'node -e 0': ['-e', '0'],
    'import fairlead': ['--input-type=module', '-e', "await import('fairlead')"],
    'require fairlead': ['-e', "require('fairlead')"],
  }
  const times = new Map<string, number[]>(Object.keys(cases).map((name) => [name, []]))
  for (let round = 0; round < 9; round++) {
    for (const [name, args] of Object.entries(cases)) {
      const began = performance.now()
      const { code } = await run(process.execPath, args, { cwd: bare(), env: { NODE_OPTIONS: '' } })
      expect(code).toBe(0)
      times.get(name)?.push(performance.now() - began)
    }
  }
  const base = median(times.get('node -e 0') ?? [])
  for (const [name, values] of times) {
    console.log(`${name}: ${median(values).toFixed(0)} ms, ${(median(values) / base).toFixed(2)} of a bare node`)
  }
})
