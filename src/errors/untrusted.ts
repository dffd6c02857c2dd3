// Copies data that came from outside: bounded in depth and number, and without the names by which a later merge could be poisoned.

const DEEPEST = 16
const MOST = 10_000
const POISON: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype'])

/** A plain copy of JSON-like data; undefined if it is too deep or has too many members, or is no data at all. */
export function copyBounded(value: unknown): unknown {
  const budget = { left: MOST }
  try {
    return copy(value, DEEPEST, budget)
  } catch {
    return undefined
  }
}

function copy(value: unknown, depth: number, budget: { left: number }): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return value
  if (typeof value !== 'object') return undefined
  if (depth === 0 || --budget.left < 0) throw new RangeError('too much')
  if (Array.isArray(value)) {
    if (value.length > budget.left) throw new RangeError('too much')
    return value.map((each) => copy(each, depth - 1, budget))
  }
  const keys = Object.keys(value).filter((key) => !POISON.has(key))
  budget.left -= keys.length
  if (budget.left < 0) throw new RangeError('too much')
  return Object.fromEntries(keys.map((key) => [key, copy((value as Record<string, unknown>)[key], depth - 1, budget)]))
}
