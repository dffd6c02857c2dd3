// Tables for people.

/** Columns as wide as their widest cell; numbers stand at the right. No rows: only the head. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const texts = rows.map((row) => row.map(cell))
  const widths = head.map((name, at) => Math.max(name.length, ...texts.map((row) => row[at]?.length ?? 0)))
  const right = head.map((_, at) => rows.length > 0 && rows.every((row) => typeof row[at] === 'number'))
  const line = (cells: readonly string[]): string =>
    cells
      .map((text, at) => (right[at] === true ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0)))
      .join('  ')
      .trimEnd()
  return [line(head), ...texts.map(line)].join('\n')
}

// A reason or a key may hold anything: what would move the cursor, or begin a new line, must not.
function cell(value: string | number): string {
  if (typeof value === 'number') return value.toLocaleString('en')
  const shown = value.replace(/\p{C}/gu, '·')
  return shown.length > 60 ? `${shown.slice(0, 59)}…` : shown
}
