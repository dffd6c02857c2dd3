// docs/errors.md says what the table says.
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { CODES } from '../../src/errors/index.ts'
import { decision, path, render } from '../tools/errors-doc.ts'

type Step = typeof decision

const leaves = (step: Step): readonly Extract<Step, { kind: unknown }>[] =>
  'kind' in step ? [step] : [...leaves(step.yes), ...leaves(step.no)]

describe('docs/errors.md', () => {
  test('is up to date: npm run generate', () => {
    expect(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')).toBe(render())
  })

  test('has every code', () => {
    const text = render()
    for (const [code, { meaning, advice }] of Object.entries(CODES)) {
      expect(
        text
          .split('\n')
          .filter((line) => line.startsWith(`| \`${code}\``) && line.includes(meaning) && line.includes(advice)),
      ).toHaveLength(1)
    }
  })

  test('leads to every kind, and names codes of it only', () => {
    const found = leaves(decision)
    expect([...new Set(found.map(({ kind }) => kind))].sort()).toEqual(
      [...new Set(Object.values(CODES).map(({ kind }) => kind))].sort(),
    )
    for (const { kind, codes } of found)
      for (const code of codes) expect([code, CODES[code].kind]).toEqual([code, kind])
  })
})
