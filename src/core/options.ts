// Options are checked once, when a thing is built; each complaint names the option and the fix.
import { createError } from '../errors/classes.ts'
import { LONGEST_TIMER_MS } from './clock.ts'

/** The error for an option that makes no sense. */
export function invalidOption(option: string, value: unknown, fix: string): Error {
  return createError({ code: 'INVALID_OPTIONS', message: `${option} is ${show(value)}: ${fix}`, details: { option } })
}

/** A duration in milliseconds: more than 0, at most 24.8 days (the longest timer of Node). */
export function durationOption(
  option: string,
  value: number | undefined,
  fallback: number,
  least: number = Number.MIN_VALUE,
): number {
  if (value === undefined) return fallback
  if (typeof value !== 'number' || !(value >= least && value <= LONGEST_TIMER_MS))
    throw invalidOption(option, value, `give milliseconds ${from(least)} to ${LONGEST_TIMER_MS}`)
  return value
}

function from(least: number): string {
  if (least <= 0) return 'from 0'
  return least === Number.MIN_VALUE ? 'above 0' : `from ${least}`
}

// A century: what an interval of any database holds.
const LONGEST_AGE_MS = 3_155_760_000_000

/** An age or a retention in milliseconds, from `least`. No timer is set for so long, so that it may be months. */
export function ageOption(option: string, value: number | undefined, fallback: number = 0, least: number = 0): number {
  if (value === undefined) return fallback
  if (typeof value !== 'number' || !(value >= least && value <= LONGEST_AGE_MS))
    throw invalidOption(option, value, `give milliseconds from ${least} to ${LONGEST_AGE_MS}`)
  return value
}

/** A whole number, at least `least`. */
export function countOption(option: string, value: number | undefined, fallback: number, least: number = 1): number {
  if (value === undefined) return fallback
  if (!Number.isSafeInteger(value) || value < least)
    throw invalidOption(option, value, `give a whole number of at least ${least}`)
  return value
}

/** A share: more than 0 (or from 0 where `zero`), at most 1. */
export function shareOption(
  option: string,
  value: number | undefined,
  fallback: number,
  zero: boolean = false,
): number {
  if (value === undefined) return fallback
  if (typeof value !== 'number' || !(zero ? value >= 0 : value > 0) || !(value <= 1))
    throw invalidOption(option, value, `give a share ${zero ? 'from' : 'above'} 0 to 1; 50 % is 0.5`)
  return value
}

/** Refuses names that the options do not have: a misspelt option must not be silently without effect. */
export function knownOptions(what: string, options: object, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw invalidOption(what, options, `give an object with any of ${known.join(', ')}`)
  for (const name of Object.keys(options))
    if (!known.includes(name))
      throw invalidOption(
        `${what}.${name}`,
        (options as Record<string, unknown>)[name],
        `${what} has no such option; it has ${known.join(', ')}`,
      )
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  return String(value)
}
