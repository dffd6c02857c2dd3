// The conformance suite of stores over each package that is there.
import { describe, expect, test } from 'vitest'
import { testStore } from '../../../src/testing/store-suite/index.ts'
import { engines, leftOut } from './engines.ts'
import { sqliteLab } from './lab.ts'

for (const engine of engines) await testStore(`sqlite, ${engine.name}`, () => sqliteLab(engine), { describe, test })

test.each(leftOut)('left out: %s', (what) => {
  expect(engines.some(({ name }) => what.startsWith(name))).toBe(false)
})
