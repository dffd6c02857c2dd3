import { describe, expect, it } from 'vitest'
import { checksumOf, missingOf } from '../../src/core/migration.ts'

const steps = [
  { number: 1, name: '001-ground', sql: 'create table a (x int);' },
  { number: 2, name: '002-more', sql: 'create table b (x int);' },
] as const
const applied = (step: (typeof steps)[number]) => ({
  number: step.number,
  name: step.name,
  checksum: checksumOf(step),
})

describe('missingOf', () => {
  it('names what was not run, in order', () => {
    expect(missingOf('the schema s', [], steps)).toEqual(steps)
    expect(missingOf('the schema s', [applied(steps[0])], steps)).toEqual([steps[1]])
    expect(missingOf('the schema s', steps.map(applied), steps)).toEqual([])
  })

  it('refuses tables of a newer version', () => {
    const newer = { number: 3, name: '003-later', checksum: 'x' }
    expect(() => missingOf('the schema s', [...steps.map(applied), newer], steps)).toThrow(
      /the schema s has step 003-later.*newer/,
    )
  })

  it('refuses a step that is not the one of this version', () => {
    const other = { ...applied(steps[0]), checksum: 'of something else' }
    expect(() => missingOf('the schema s', [other], steps)).toThrow(/is not the 001-ground/)
    expect(() => missingOf('the schema s', [{ ...applied(steps[0]), name: '001-other' }], steps)).toThrow(
      expect.objectContaining({ code: 'INCOMPATIBLE' }),
    )
  })
})

describe('checksumOf', () => {
  it('does not heed the blank lines around, and heeds all else', () => {
    expect(checksumOf({ ...steps[0], sql: `\n${steps[0].sql}\n` })).toBe(checksumOf(steps[0]))
    expect(checksumOf({ ...steps[0], sql: `${steps[0].sql} ` })).toBe(checksumOf(steps[0]))
    expect(checksumOf({ ...steps[0], sql: 'create table a (y int);' })).not.toBe(checksumOf(steps[0]))
  })
})
