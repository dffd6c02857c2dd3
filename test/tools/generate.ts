// Documents made from tables in src. Each file of test/tools/generated/ makes one: it exports `path` and `render`.
// `npm run generate` writes them; `npm run check` fails when one is stale.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
import { inRoot } from './project.ts'

interface Generator {
  /** Where the document goes, from the top of the repository. */
  readonly path: string
  readonly render: () => string | Promise<string>
}

/** Writes the documents (`update`), or compares them; answers what is stale, one line each. */
export const generatedDocs = async (update: boolean): Promise<readonly string[]> => {
  const problems: string[] = []
  const folder = inRoot('test', 'tools', 'generated')
  const files = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.ts')) : []
  for (const file of files) {
    const { path, render } = (await import(pathToFileURL(inRoot('test', 'tools', 'generated', file)).href)) as Generator
    const text = await render()
    if (existsSync(inRoot(path)) && readFileSync(inRoot(path), 'utf8') === text) continue
    if (update) {
      mkdirSync(dirname(inRoot(path)), { recursive: true })
      writeFileSync(inRoot(path), text)
      console.log(`${path} written`)
    } else problems.push(`${path} is stale: run \`npm run generate\``)
  }
  return problems
}

if (process.argv[1] === import.meta.filename) await generatedDocs(true)
