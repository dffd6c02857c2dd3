// The documentation's type-check can fail: each of these wrong blocks is found, at its own line.
import { expect, it } from 'vitest'
import { blocksOf, checkBlocks } from './docs.ts'

const page = (...lines: readonly string[]): string => lines.join('\n')

it('finds blocks with their lines and preludes', () => {
  const { blocks, problems } = blocksOf(
    'a.md',
    page(
      '# A',
      '',
      '<!-- prelude:',
      'declare const sku: string',
      '-->',
      '```ts',
      'sku.length',
      '```',
      '',
      '```sh',
      'npm ci',
      '```',
      '',
      '```ts',
      '1',
      '```',
    ),
  )
  expect(problems).toEqual([])
  expect(blocks).toEqual([
    { file: 'a.md', line: 7, prelude: 'declare const sku: string', code: 'sku.length' },
    { file: 'a.md', line: 15, prelude: '', code: '1' },
  ])
})

it('keeps a prelude for the very next block only', () => {
  const { blocks } = blocksOf(
    'a.md',
    page('<!-- prelude: const a = 1 -->', '', 'Text between.', '', '```ts', 'a', '```'),
  )
  expect(blocks[0]?.prelude).toBe('')
})

it('refuses a fence that asks not to be checked', () => {
  const { blocks, problems } = blocksOf('a.md', page('```ts no-check', 'nonsense(', '```', '```typescript', '1', '```'))
  expect(problems).toHaveLength(2)
  expect(blocks).toHaveLength(2)
})

it('reports a type error at its line, a missing import, a broken prelude and a name that fairlead does not export', () => {
  const { blocks } = blocksOf(
    'b.md',
    page(
      '```ts',
      'const fine: number = 1',
      '```',
      '```ts',
      'const fine = 1',
      "const wrong: number = 'text'",
      '```',
      '<!-- prelude: declare const a: Missing -->',
      '```ts',
      'a',
      '```',
      '```ts',
      "import { noSuchName } from 'fairlead'",
      'noSuchName()',
      '```',
      '```ts',
      "import 'no-such-package'",
      '```',
    ),
  )
  const problems = checkBlocks(blocks, 'docs-self-test')
  expect(problems.some((problem) => problem.startsWith('b.md:2:'))).toBe(false)
  expect(problems.some((problem) => problem.startsWith('b.md:6:'))).toBe(true)
  expect(problems.some((problem) => problem.includes('(its prelude)'))).toBe(true)
  expect(problems.some((problem) => problem.includes('noSuchName'))).toBe(true)
  expect(problems.some((problem) => problem.includes('no-such-package'))).toBe(true)
}, 60_000)
