// The API report: what each entry of the package exports, as text in docs/api, so that a change of the public face is seen
// in review. `npm run api` writes it; `npm run check` fails when it is stale. Reads the built .d.ts files.

import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Extractor, ExtractorConfig, ExtractorLogLevel } from '@microsoft/api-extractor'
import { build, cacheFolder, entryNames, filesBelow, inRoot, root } from './project.ts'

const compilerOptions = {
  target: 'es2023',
  lib: ['es2023'],
  module: 'nodenext',
  moduleResolution: 'nodenext',
  types: ['node'],
  strict: true,
  skipLibCheck: true,
}

/** The names that one report exports. */
const exportedNames = (report: string): readonly string[] => [
  ...[...report.matchAll(/^export (?:abstract |default )?(?:class|interface|type|function|const|let|var) (\w+)/gm)].map(
    ([, name = '']) => name,
  ),
  ...[...report.matchAll(/^export \{ ?(.*?) ?\}/gm)].flatMap(([, names = '']) =>
    names.split(/,\s*/).map((name) => name.replace(/^.* as /, '')),
  ),
]

/** Writes the reports (`update`), or compares them; answers what is wrong, one line each. */
export const apiReports = async (update: boolean): Promise<readonly string[]> => {
  await build()
  const problems: string[] = []
  const forgotten: { readonly entry: string; readonly symbol: string }[] = []
  const exported = new Set<string>()
  const temporary = cacheFolder('api')
  mkdirSync(inRoot('docs', 'api'), { recursive: true })
  for (const name of entryNames()) {
    const config = ExtractorConfig.prepare({
      configObject: {
        projectFolder: root,
        mainEntryPointFilePath: inRoot('dist', `${name}.d.ts`),
        compiler: { overrideTsconfig: { compilerOptions, include: [inRoot('dist', '*.d.ts')] } },
        apiReport: {
          enabled: true,
          reportFileName: `${name}.api.md`,
          reportFolder: inRoot('docs', 'api'),
          reportTempFolder: temporary,
        },
        docModel: { enabled: false },
        dtsRollup: { enabled: false },
        tsdocMetadata: { enabled: false },
        messages: {
          compilerMessageReporting: { default: { logLevel: ExtractorLogLevel.Error } },
          extractorMessageReporting: {
            default: { logLevel: ExtractorLogLevel.Error },
            'ae-missing-release-tag': { logLevel: ExtractorLogLevel.None },
            'ae-undocumented': { logLevel: ExtractorLogLevel.None },
          },
          tsdocMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
        },
      },
      configObjectFullPath: inRoot('api-extractor.json'),
      packageJsonFullPath: inRoot('package.json'),
    })
    const result = Extractor.invoke(config, {
      localBuild: update,
      showVerboseMessages: false,
      messageCallback: (message) => {
        message.handled = true
        const symbol = /The symbol "([^"]+)"/.exec(message.text)?.[1]?.replace(/(\$|_)\d+$/, '')
        if (message.messageId === 'ae-forgotten-export' && symbol !== undefined) forgotten.push({ entry: name, symbol })
        else if (message.logLevel === 'error') problems.push(`${name}: ${message.messageId}: ${message.text}`)
      },
    })
    for (const found of exportedNames(readFileSync(join(temporary, `${name}.api.md`), 'utf8'))) exported.add(found)
    if (result.apiReportChanged) {
      if (update) console.log(`docs/api/${name}.api.md updated`)
      else problems.push(`docs/api/${name}.api.md is stale: run \`npm run api\` and read the difference`)
    }
  }
  // A type that an entry mentions has to have a name that users can import, from that entry or from another.
  // Generic aliases are steps of a computation: what users see is its outcome.
  const declarations = filesBelow('dist')
    .filter((path) => path.endsWith('.d.ts'))
    .map((path) => readFileSync(inRoot(path), 'utf8'))
    .join('\n')
  for (const { entry, symbol } of forgotten) {
    if (new RegExp(`^type ${symbol}<`, 'm').test(declarations)) continue
    if (!exported.has(symbol)) problems.push(`${entry}: ${symbol} is part of the API and no entry exports it`)
  }
  return problems
}

if (process.argv[1] === import.meta.filename) {
  const problems = await apiReports(true)
  for (const problem of problems) console.log(problem)
  process.exitCode = problems.length > 0 ? 1 : 0
}
