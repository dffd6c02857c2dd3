// The rules of the tree, as functions from file texts to breaches, so that test/architecture.test.ts can show that each
// of them catches what it is for.
import { posix } from 'node:path'
import ts from 'typescript'

/** Source files by their path below src, with `/`: `policies/retry.ts` -> its text. */
export type Sources = ReadonlyMap<string, string>

const pillars = ['rpi', 'messaging', 'discovery']
const inner = ['errors', 'core', 'policies']

/** What each room may import, besides itself. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  core: ['errors'],
  policies: ['errors', 'core'],
  rpi: inner,
  messaging: inner,
  discovery: inner,
  adapters: [...inner, ...pillars],
  cli: [...inner, ...pillars, 'adapters'],
  testing: [...inner, ...pillars, 'adapters/memory'],
}

/** The one file (or folder) that may name a package. */
const vendors: Readonly<Record<string, RegExp>> = {
  opossum: /^policies\/(circuit-breaker|window|opossum-window)\.ts$/,
  'p-retry': /^policies\/retry\.ts$/,
  bottleneck: /^policies\/(rate|shared)-limit\.ts$/,
  undici: /^adapters\/http\//,
}

/** Named in one file at most, wherever that is. */
const onceOnly = ['opossum', 'p-retry', 'p-timeout', 'bottleneck']

const roomOf = (file: string): string => {
  const [room = '', second = ''] = file.split('/')
  if (!file.includes('/')) return file
  return room === 'adapters' && second === 'memory' ? 'adapters/memory' : room
}

const parse = (file: string, text: string): ts.SourceFile =>
  ts.createSourceFile(file, text, ts.ScriptTarget.ES2023, true)

/** All that a file imports, with `import type`, `export from`, `import('x')` and `typeof import('x')`. */
export const importsOf = (file: string, text: string): readonly string[] => {
  const found: string[] = []
  const visit = (node: ts.Node): void => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier !== undefined) {
      if (ts.isStringLiteral(node.moduleSpecifier)) found.push(node.moduleSpecifier.text)
    } else if (
      ts.isImportTypeNode(node) &&
      ts.isLiteralTypeNode(node.argument) &&
      ts.isStringLiteral(node.argument.literal)
    ) {
      found.push(node.argument.literal.text)
    } else if (ts.isCallExpression(node)) {
      const [first] = node.arguments
      const name = ts.isIdentifier(node.expression) ? node.expression.text : ''
      const loads = node.expression.kind === ts.SyntaxKind.ImportKeyword || ['require', 'lazy'].includes(name)
      if (loads && first !== undefined && ts.isStringLiteralLike(first)) found.push(first.text)
    }
    ts.forEachChild(node, visit)
  }
  visit(parse(file, text))
  return found
}

const resolve = (file: string, specifier: string): string | undefined =>
  specifier.startsWith('.') ? posix.normalize(posix.join(posix.dirname(file), specifier)) : undefined

/** Imports against the arrows, of a path that is not there, or of this package by its own name. */
export const brokenArrows = (sources: Sources): readonly string[] => {
  const breaches: string[] = []
  for (const [file, text] of sources) {
    const room = roomOf(file)
    const allowed = arrows[room.split('/')[0] ?? '']
    if (file !== 'index.ts' && allowed === undefined) breaches.push(`${file}: there is no such room`)
    for (const specifier of importsOf(file, text)) {
      if (/^fairlead(\/|$)/.test(specifier)) breaches.push(`${file}: imports ${specifier} by the package's own name`)
      const target = resolve(file, specifier)
      if (target === undefined) continue
      if (!sources.has(target)) {
        breaches.push(`${file}: imports ${specifier}, which is not a file of src`)
        continue
      }
      const to = roomOf(target)
      if (file === 'index.ts' || to === room || to.split('/')[0] === room) continue
      if (room.startsWith('adapters') && to.startsWith('adapters')) continue
      if (!allowed?.includes(to)) breaches.push(`${file}: ${room} may not import ${target}`)
    }
  }
  return breaches
}

/** Cycles among files, each as `a.ts > b.ts > a.ts`. Type-only imports count. */
export const cycles = (sources: Sources): readonly string[] => {
  const found: string[] = []
  const done = new Set<string>()
  const path: string[] = []
  const visit = (file: string): void => {
    const at = path.indexOf(file)
    if (at >= 0) {
      found.push([...path.slice(at), file].join(' > '))
      return
    }
    if (done.has(file)) return
    path.push(file)
    for (const specifier of importsOf(file, sources.get(file) ?? '')) {
      const target = resolve(file, specifier)
      if (target !== undefined && sources.has(target)) visit(target)
    }
    path.pop()
    done.add(file)
  }
  for (const file of sources.keys()) visit(file)
  return found
}

const hiddenCalls = new Set(['setTimeout', 'setInterval', 'setImmediate', 'performance', 'hrtime'])
const hiddenMembers: Readonly<Record<string, readonly string[]>> = {
  Date: ['now'],
  Math: ['random'],
  AbortSignal: ['timeout'],
  process: ['hrtime', 'uptime'],
}
const hiddenModules = /^(node:)?(timers(\/promises)?|perf_hooks)$/
const globals = new Set(['globalThis', 'global'])

/** A name as a value: not a property of something else, a key, a member's name or a type. */
const isFreeName = (node: ts.Identifier): boolean => {
  const { parent } = node
  if (ts.isPropertyAccessExpression(parent) && parent.name === node) {
    return ts.isIdentifier(parent.expression) && globals.has(parent.expression.text)
  }
  if (ts.isPropertyAssignment(parent) && parent.name === node) return false
  const named =
    ts.isPropertySignature(parent) ||
    ts.isMethodSignature(parent) ||
    ts.isMethodDeclaration(parent) ||
    ts.isPropertyDeclaration(parent) ||
    ts.isParameter(parent) ||
    ts.isBindingElement(parent)
  if (named && parent.name === node) return false
  return !ts.isTypeReferenceNode(parent) && !ts.isQualifiedName(parent) && !ts.isTypeQueryNode(parent)
}

/** Time or randomness that no test can steer. `new Date(ms)` is fine: it only formats what the clock said. */
export const hiddenTime = (sources: Sources): readonly string[] => {
  const breaches: string[] = []
  for (const [file, text] of sources) {
    if (file === 'core/clock.ts') continue
    const source = parse(file, text)
    const report = (node: ts.Node, what: string): void => {
      breaches.push(`${file}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}: ${what}`)
    }
    // The fake clock gives real I/O its turn between two steps of time: that is no time of its own.
    const turns = file === 'testing/fake-clock.ts'
    const visit = (node: ts.Node): void => {
      if (turns && ts.isIdentifier(node) && node.text === 'setImmediate') return
      if (ts.isIdentifier(node) && hiddenCalls.has(node.text) && isFreeName(node)) report(node, node.text)
      if (ts.isPropertyAccessExpression(node)) {
        const object = ts.isPropertyAccessExpression(node.expression) ? node.expression.name : node.expression
        const hidden =
          ts.isIdentifier(object) && Object.hasOwn(hiddenMembers, object.text) ? hiddenMembers[object.text] : []
        if (ts.isIdentifier(object) && hidden?.includes(node.name.text)) {
          report(node, `${object.text}.${node.name.text}`)
        }
      }
      const isDate = (value: ts.Expression): boolean => ts.isIdentifier(value) && value.text === 'Date'
      if (ts.isNewExpression(node) && isDate(node.expression) && !node.arguments?.length) report(node, 'new Date()')
      if (ts.isCallExpression(node) && isDate(node.expression)) report(node, 'Date()')
      ts.forEachChild(node, visit)
    }
    visit(source)
    for (const specifier of importsOf(file, text))
      if (hiddenModules.test(specifier)) breaches.push(`${file}: imports ${specifier}`)
  }
  return breaches
}

/** Packages named outside the one file that is theirs. */
export const strayVendors = (sources: Sources): readonly string[] => {
  const breaches: string[] = []
  const holders = new Map<string, string[]>()
  for (const [file, text] of sources) {
    for (const specifier of new Set(importsOf(file, text))) {
      const name = specifier
        .split('/')
        .slice(0, specifier.startsWith('@') ? 2 : 1)
        .join('/')
      const home = vendors[name]
      if (home !== undefined && !home.test(file))
        breaches.push(`${file}: imports ${name}, which belongs to ${home.source}`)
      if (onceOnly.includes(name)) holders.set(name, [...(holders.get(name) ?? []), file])
    }
  }
  for (const [name, files] of holders)
    if (files.length > 1) breaches.push(`${name} is imported by ${files.join(' and ')}`)
  return breaches
}

/** Default exports, names that are not kebab-case, and files past 400 lines. */
export const badForm = (sources: Sources): readonly string[] => {
  const breaches: string[] = []
  for (const [file, text] of sources) {
    if (!/^([a-z0-9]+(-[a-z0-9]+)*\/)*[a-z0-9]+(-[a-z0-9]+)*\.ts$/.test(file)) breaches.push(`${file}: not kebab-case`)
    const lines = text.replace(/\n$/, '').split('\n').length
    if (lines > 400) breaches.push(`${file}: ${lines} lines, so it has two jobs`)
    for (const statement of parse(file, text).statements) {
      const modifiers = ts.canHaveModifiers(statement) ? (ts.getModifiers(statement) ?? []) : []
      const byWord =
        modifiers.some(({ kind }) => kind === ts.SyntaxKind.DefaultKeyword) || ts.isExportAssignment(statement)
      const byName =
        ts.isExportDeclaration(statement) &&
        statement.exportClause !== undefined &&
        ts.isNamedExports(statement.exportClause) &&
        statement.exportClause.elements.some(({ name }) => name.text === 'default')
      if (byWord || byName) breaches.push(`${file}: has a default export`)
    }
  }
  return breaches
}

/** The front door re-exports by name and does nothing else. */
export const logicInFrontDoor = (sources: Sources): readonly string[] =>
  parse('index.ts', sources.get('index.ts') ?? '')
    .statements.filter(
      (statement) =>
        !ts.isExportDeclaration(statement) ||
        statement.moduleSpecifier === undefined ||
        statement.exportClause === undefined ||
        !ts.isNamedExports(statement.exportClause),
    )
    .map((statement) => `index.ts: \`${statement.getText().split('\n')[0]}\` is not a re-export by name`)

const topLevel = new Set([
  'src',
  'test',
  'examples',
  'docs',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsup.config.ts',
  'vitest.config.ts',
  'biome.json',
  'README.md',
  'LICENSE',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
])

/** What lies at the top of the repository without belonging there. */
export const strayTopLevel = (names: readonly string[]): readonly string[] =>
  names.filter((name) => !topLevel.has(name) && !name.startsWith('.'))

/** Tests that no vitest project would ever run: a wrong ending, or a name that does not match what it tests. */
export const testsThatNeverRun = (files: readonly string[]): readonly string[] =>
  files.filter(
    (file) =>
      /(^|[./-])(test|spec)\.[cm]?[jt]sx?$/.test(file) && !/\.test\.ts$/.test(file) && file !== 'test/tools/test.ts',
  )
