// Walks an error and its causes, from the outside in, and takes the first link that a table knows. Bounded, and safe against circles.
import { type FairleadError, isFairleadError } from './base.ts'
import { abortTable, isAbort } from './classify-abort.ts'
import { clientsTable } from './classify-clients.ts'
import { type Facts, type Finding, look, read, readList, type Table, type TableHints } from './classify-facts.ts'
import { httpTable } from './classify-http.ts'
import { http2Table } from './classify-http2.ts'
import { nodeTable } from './classify-node.ts'
import { plainTable } from './classify-plain.ts'
import { tlsTable } from './classify-tls.ts'
import { undiciTable } from './classify-undici.ts'
import { CODES, type Code } from './codes.ts'

const DEEPEST = 8
const MOST = 32

// In this order: an answer that came outweighs what happened afterwards, and clients that reuse a name of Node's say what they mean by it.
const TABLES: readonly Table[] = [
  httpTable,
  clientsTable,
  undiciTable,
  http2Table,
  tlsTable,
  nodeTable,
  abortTable,
  plainTable,
]

/** What was found, and where. */
export interface Found extends Finding {
  readonly facts: Facts
  /** A FairleadError that something else had wrapped. */
  readonly nested?: FairleadError | undefined
}

/** The code only, without making an error of it. */
export function codeOf(error: unknown): Code {
  if (isFairleadError(error)) return error.code
  const found = find(error, {})
  return found?.nested?.code ?? found?.code ?? 'CALL_FAILED'
}

interface Walk {
  readonly hints: TableHints
  readonly seen: Set<unknown>
}

/** What the tables say, or undefined where none knows. */
export function find(error: unknown, hints: TableHints): Found | undefined {
  return visit(error, { hints, seen: new Set() }, 0, hints.phase === 'body')
}

function visit(value: unknown, walk: Walk, depth: number, inBody: boolean): Found | undefined {
  if ((typeof value !== 'object' || value === null) && typeof value !== 'function') return undefined
  if (depth > DEEPEST || walk.seen.size >= MOST || walk.seen.has(value)) return undefined
  walk.seen.add(value)
  if (isFairleadError(value)) return { code: value.code, effect: value.effect, nested: value, facts: look(value) }

  const facts = look(value)
  const own = askTables(facts, walk.hints)
  // Node keeps the reason of an abort as the cause; ours is the error itself.
  const reason = isAbort(facts) ? read(value, 'cause') : undefined
  if (isFairleadError(reason)) return visit(reason, walk, depth + 1, inBody)
  if (own?.answered) return settle(own, facts, inBody)
  // Several at once (happy eyeballs, Promise.any): its own code is only that of the first.
  const parts = readList(value, 'errors', MOST)
  if (parts !== undefined) {
    const together = visitAll(parts, walk, depth, inBody)
    if (together !== undefined) return together
  }
  if (own !== undefined && !own.weak) return settle(own, facts, inBody)
  const inner = visit(read(value, 'cause'), walk, depth + 1, inBody || own?.inBody === true)
  // What a cause calls a mistake of the program is a mistake of the client's inside, if the client itself says that the network failed.
  if (inner !== undefined && !(own !== undefined && inner.code === 'PROGRAMMING_ERROR')) {
    return own?.innerEffect === undefined ? inner : { ...inner, effect: own.innerEffect }
  }
  return own === undefined ? undefined : settle(own, facts, inBody)
}

function askTables(facts: Facts, hints: TableHints): Finding | undefined {
  for (const table of TABLES) {
    const finding = table(facts, hints)
    if (finding !== undefined) return finding
  }
  return undefined
}

function settle(finding: Finding, facts: Facts, inBody: boolean): Found {
  const begun = inBody || finding.inBody === true
  if (begun && finding.codeInBody !== undefined) return { ...finding, code: finding.codeInBody, facts }
  const cut = begun && finding.code === 'CONNECTION_LOST' && finding.effect !== 'none'
  return cut ? { ...finding, code: 'REPLY_TRUNCATED', facts } : { ...finding, facts }
}

/** `none` only if every part proves it, which one that was not looked at does not; otherwise the first part that does not. */
function visitAll(parts: readonly unknown[], walk: Walk, depth: number, inBody: boolean): Found | undefined {
  let first: Found | undefined
  let unproven: Found | undefined
  let proven = true
  for (const part of parts) {
    const found = visit(part, walk, depth + 1, inBody)
    const none = found !== undefined && (found.effect ?? CODES[found.code]?.effect) === 'none'
    first ??= found
    if (!none) unproven ??= found
    proven &&= none
  }
  const chosen = unproven ?? first
  if (chosen === undefined || proven || unproven !== undefined) return chosen
  return { ...chosen, effect: 'unknown' }
}
