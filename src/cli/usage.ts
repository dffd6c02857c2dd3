// Words that were not understood, and how they are taken apart.
import { type ParseArgsConfig, parseArgs } from 'node:util'

/** The command line cannot be understood; nothing was done. */
export class Usage extends Error {}

type Values = Readonly<Record<string, string | boolean | undefined>>

/** Options and words. @throws Usage for an option that is not among them */
export function parsed(
  words: readonly string[],
  options: NonNullable<ParseArgsConfig['options']>,
): { readonly values: Values; readonly words: readonly string[] } {
  try {
    const { values, positionals } = parseArgs({ args: [...words], options, allowPositionals: true, strict: true })
    return { values: values as Values, words: positionals }
  } catch (error) {
    throw new Usage((error as Error).message)
  }
}

/** @throws Usage for an option that means nothing to this command: what was meant by it would not be done */
export function only(command: string, values: Values, allowed: readonly string[]): void {
  for (const [name, value] of Object.entries(values))
    if (value !== undefined && !allowed.includes(name)) throw new Usage(`${command} takes no --${name}`)
}

/** The text of an option. */
export function textOf(value: string | boolean | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** A whole number from 0. @throws Usage for anything else */
export function countOf(name: string, value: string | boolean | undefined): number | undefined {
  const text = textOf(value)
  if (text === undefined) return undefined
  if (!/^\d{1,9}$/.test(text)) throw new Usage(`--${name} ${text}: give a whole number`)
  return Number(text)
}

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `30s`, `5m`, `12h`, `7d` as milliseconds. @throws Usage for anything else */
export function durationOf(name: string, value: string | boolean | undefined): number | undefined {
  const text = textOf(value)
  if (text === undefined) return undefined
  const [, digits, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? []
  if (digits === undefined || unit === undefined) throw new Usage(`--${name} ${text}: give 30s, 5m, 12h or 7d`)
  return Number(digits) * (UNITS[unit] ?? 0)
}
