// What a statement answers, told from its text: for Prisma, which has one way for rows and another for counts.

const SKIPPED = /'(?:[^']|'')*'|"(?:[^"]|"")*"|\$([A-Za-z_]\w*)?\$[\s\S]*?\$\1\$|--[^\n]*|\/\*[\s\S]*?\*\//g

/**
 * Whether it gives rows: a SELECT, or a change with RETURNING. Of one that begins with WITH, what is outside of the parentheses counts.
 * Several statements in one text give none.
 */
export function answersRows(text: string): boolean {
  const plain = outside(text.replace(SKIPPED, ' ')).trim()
  if (/;\s*\S/.test(plain)) return false
  const [, first = ''] = /^([a-z]+)/i.exec(plain) ?? []
  const verb = /^with$/i.test(first)
    ? (/\b(select|insert|update|delete|merge|values|table)\b/i.exec(plain)?.[1] ?? '')
    : first
  if (/^(select|values|table|show|explain|fetch)$/i.test(verb))
    return !/\binto\b/i.test(plain) || !/^select$/i.test(verb)
  return /^(insert|update|delete|merge)$/i.test(verb) && /\breturning\b/i.test(plain)
}

/** Without what is in parentheses. */
function outside(text: string): string {
  let depth = 0
  let kept = ''
  for (const letter of text) {
    if (letter === '(') depth++
    else if (letter === ')') depth--
    else if (depth === 0) kept += letter
  }
  return kept
}
