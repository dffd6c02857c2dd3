// The packed tarball as a user meets it: what it exports, what it loads, and that its errors are one class everywhere.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { manifest } from '../tools/project.ts'
import { bare, copies, inNode } from './node.ts'
import { ROOT_NAMES } from './root-names.ts'

const subpaths = Object.entries(manifest().exports)
  .filter(([, target]) => typeof target !== 'string')
  .map(([subpath]) => `fairlead${subpath.slice(1)}`)

describe('the root', () => {
  it('exports exactly the closed list, as ESM', async () => {
    expect(
      await inNode(bare(), 'module', "console.log(JSON.stringify(Object.keys(await import('fairlead')).sort()))"),
    ).toEqual(ROOT_NAMES)
  })

  it('exports exactly the closed list, as CommonJS', async () => {
    expect(
      await inNode(bare(), 'commonjs', "console.log(JSON.stringify(Object.keys(require('fairlead')).sort()))"),
    ).toEqual(ROOT_NAMES)
  })
})

describe('loading', () => {
  // In the bare folder no dependency can be found, so whatever loads one at import fails here.
  it.each(subpaths)('%s needs no dependency to be imported', async (name) => {
    expect(await inNode(bare(), 'module', `await import('${name}'); console.log(1)`)).toBe(1)
    expect(await inNode(bare(), 'commonjs', `require('${name}'); console.log(1)`)).toBe(1)
  })

  it('but a dependency is needed once something of it is used: the folder really is bare', async () => {
    const code = `
      const { inspect } = require('node:util')
      const { resilient } = require('fairlead')
      const main = async () => {
        await resilient('a.b', async () => 1, { circuitBreaker: {} })()
        return 'no dependency was needed'
      }
      main().catch((error) => inspect(error)).then((text) => console.log(JSON.stringify(text)))`
    expect(await inNode(bare(), 'commonjs', code)).toMatch(/Cannot find (module|package) 'opossum'/)
  })

  it('CommonJS is written in the language of Node, without helpers that make garbage of each `?.`', () => {
    const folder = join(bare(), 'node_modules', 'fairlead', 'dist')
    const chunks = readdirSync(folder).filter((name) => name.endsWith('.cjs'))
    expect(chunks).toContain('messaging.cjs')
    const helped = chunks.filter((name) =>
      /_optionalChain|_nullishCoalesce/.test(readFileSync(join(folder, name), 'utf8')),
    )
    expect(helped).toEqual([])
  })

  it.each(['module', 'commonjs'] as const)(
    'as %s the first use of a breaker loads opossum, and in time',
    async (kind) => {
      const load = kind === 'module' ? "await import('fairlead')" : "require('fairlead')"
      const modules =
        kind === 'module' ? "(await import('node:module')).createRequire(process.cwd() + '/x.js')" : 'require'
      const code = `
      const { cache } = ${modules}
      const loaded = () => Object.keys(cache).some((path) => path.includes('/opossum/'))
      const { resilient } = ${load}
      const answer = resilient('a.b', async () => 7, { circuitBreaker: {} })
      const pending = answer()
      const inTime = loaded()
      pending.then((value) => console.log(JSON.stringify([value, inTime])))`
      expect(await inNode(`${copies()}/one`, kind, code)).toEqual([7, true])
    },
  )
})

describe('FairleadError is one class', () => {
  const made = (load: string): string =>
    `(${load}).classify(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }))`
  const compare = (cwd: string, left: string, right: string): Promise<unknown> =>
    inNode(
      cwd,
      'module',
      `import { createRequire } from 'node:module'
       const require = createRequire(process.cwd() + '/x.js')
       const left = ${left}, right = ${right}
       if (left.FairleadError === right.FairleadError) throw new Error('the same copy twice proves nothing')
       const fromLeft = ${made('left')}, fromRight = ${made('right')}
       console.log(JSON.stringify({
         instance: [fromLeft instanceof right.FairleadError, fromRight instanceof left.FairleadError],
         guard: [right.isFairleadError(fromLeft), left.isFairleadError(fromRight)],
         same: [left.classify(fromRight) === fromRight, right.classify(fromLeft) === fromLeft],
         others: [new Error('x') instanceof left.FairleadError, right.isFairleadError({ code: 'CONNECTION_REFUSED' })],
       }))`,
    )
  const oneClass = { instance: [true, true], guard: [true, true], same: [true, true], others: [false, false] }

  it('across ESM and CommonJS', async () => {
    expect(await compare(bare(), "await import('fairlead')", "require('fairlead')")).toEqual(oneClass)
  })

  it('across two installed copies', async () => {
    const at = (name: string): string => `await import('${copies()}/${name}/node_modules/fairlead/dist/index.js')`
    expect(await compare(copies(), at('one'), at('two'))).toEqual(oneClass)
  })

  it('across the subpaths of one copy, where it is the very same class', async () => {
    const code =
      "const { FairleadError } = await import('fairlead'); console.log(FairleadError === (await import('fairlead/errors')).FairleadError)"
    expect(await inNode(bare(), 'module', code)).toBe(true)
    expect(
      await inNode(
        bare(),
        'commonjs',
        "console.log(require('fairlead').FairleadError === require('fairlead/errors').FairleadError)",
      ),
    ).toBe(true)
  })
})
