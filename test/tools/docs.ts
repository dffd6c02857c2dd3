// Type-checks every ```ts block of README.md and docs/, each as a module of its own, with `fairlead` meaning this source.
// What a block needs but a reader does not want to see stands in an HTML comment right before it: <!-- prelude: ... -->
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { emptyCacheFolder, filesBelow, inRoot } from './project.ts'

/** One fenced block of TypeScript. */
export interface Block {
  /** The Markdown file. */
  readonly file: string
  /** The line of the first line of code, from 1. */
  readonly line: number
  readonly prelude: string
  readonly code: string
}

/** What {@link blocksOf} found: the blocks, and fences that are not allowed. */
export interface Blocks {
  readonly blocks: readonly Block[]
  readonly problems: readonly string[]
}

const fence = /^ {0,3}(`{3,}|~{3,})\s*(.*)$/

/** The TypeScript blocks of one Markdown text. A fence `ts` with any other word beside it is refused: all must check. */
export const blocksOf = (file: string, markdown: string): Blocks => {
  const blocks: Block[] = []
  const problems: string[] = []
  const lines = markdown.split(/\r?\n/)
  let prelude = ''
  for (let at = 0; at < lines.length; at++) {
    const text = lines[at] ?? ''
    const comment = /^<!--\s*prelude:/.exec(text)
    if (comment) {
      const parts = [text.slice(comment[0].length)]
      while (!(lines[at] ?? '').includes('-->') && at + 1 < lines.length) parts.push(lines[++at] ?? '')
      prelude = parts
        .join('\n')
        .replace(/-->[\s\S]*$/, '')
        .trim()
      continue
    }
    const opened = fence.exec(text)
    if (!opened) {
      if (text.trim() !== '') prelude = ''
      continue
    }
    const [, marks = '```', info = ''] = opened
    const start = at + 1
    const closes = (line: string): boolean =>
      line.trim().startsWith(marks) && line.trim().replaceAll(marks[0] ?? '`', '') === ''
    at++
    while (at < lines.length && !closes(lines[at] ?? '')) at++
    const [language = '', ...rest] = info.trim().split(/\s+/)
    if (/^(ts|typescript|mts|cts|tsx)$/.test(language)) {
      if (language !== 'ts' || rest.length > 0) {
        problems.push(
          `${file}:${start}: the fence says \`${info.trim()}\`; only plain \`ts\` is allowed, and it is type-checked`,
        )
      }
      blocks.push({ file, line: start + 1, prelude, code: lines.slice(start, at).join('\n') })
    }
    prelude = ''
  }
  return { blocks, problems }
}

/** Type-checks blocks strictly; answers `file:line: message` for each error. Files of the check go into an ignored folder. */
export const checkBlocks = (blocks: readonly Block[], folderName = 'docs'): readonly string[] => {
  const folder = emptyCacheFolder(folderName)
  const sources = new Map<string, { block: Block; before: number }>()
  blocks.forEach((block, index) => {
    const path = join(folder, `${block.file.replace(/[^a-z0-9]+/gi, '-')}-${index}.ts`)
    const before = block.prelude === '' ? '' : `${block.prelude}\n`
    writeFileSync(path, `${before}${block.code}\nexport {}\n`)
    sources.set(path, { block, before: before.split('\n').length - 1 })
  })
  const config = ts.getParsedCommandLineOfConfigFile(
    inRoot('tsconfig.json'),
    // An example may leave a name unused or export without annotating it.
    {
      isolatedDeclarations: false,
      declaration: false,
      rewriteRelativeImportExtensions: false,
      allowImportingTsExtensions: true,
    },
    { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => undefined },
  )
  if (config === undefined) return ['tsconfig.json cannot be read']
  const program = ts.createProgram([...sources.keys()], config.options)
  const problems: string[] = []
  for (const [path, { block, before }] of sources) {
    const file = program.getSourceFile(path)
    if (file === undefined) {
      problems.push(`${block.file}:${block.line}: was not checked`)
      continue
    }
    for (const diagnostic of [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)]) {
      const at = file.getLineAndCharacterOfPosition(diagnostic.start ?? 0).line - before
      const where = at < 0 ? `${block.line} (its prelude)` : `${block.line + at}`
      problems.push(`${block.file}:${where}: ${ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n')}`)
    }
  }
  return problems
}

/** Checks README.md, CONTRIBUTING.md and docs/. */
export const checkDocs = (): readonly string[] => {
  const files = ['README.md', 'CONTRIBUTING.md', ...filesBelow('docs')].filter(
    (path) => path.endsWith('.md') && !path.startsWith('docs/api/'),
  )
  const found = files.map((path) => blocksOf(path, readFileSync(inRoot(path), 'utf8')))
  return [...found.flatMap(({ problems }) => problems), ...checkBlocks(found.flatMap(({ blocks }) => blocks))]
}
