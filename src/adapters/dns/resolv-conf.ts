// The search list and ndots of the system: Node's resolver asks for names as they stand, so short names need us.
import { readFile } from 'node:fs/promises'
import { readHost } from '../../discovery/entry.ts'

/** How the system completes short names. */
export interface SearchList {
  readonly search: readonly string[]
  readonly ndots: number
}

/** Reads `search` (or `domain`; the last one counts) and `options ndots:n` (at most 15) of a resolv.conf(5). What cannot be read is left out. */
export function parseResolvConf(text: string): SearchList {
  let search: readonly string[] = []
  let ndots = 1
  for (const line of text.split(/\r?\n/)) {
    const [keyword, ...values] = line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/)
    if (keyword === 'search' || keyword === 'domain')
      // A search list of `.` is the root: nothing is appended.
      search = (keyword === 'domain' ? values.slice(0, 1) : values).filter((each) => readHost(each) !== undefined)
    if (keyword !== 'options') continue
    for (const value of values) {
      const given = /^ndots:(\d{1,4})$/.exec(value)?.[1]
      if (given !== undefined) ndots = Math.min(Number(given), 15)
    }
  }
  return { search, ndots }
}

/** The system's. Without such a file (Windows) there are no suffixes. */
export async function systemSearchList(path: string = '/etc/resolv.conf'): Promise<SearchList> {
  try {
    return parseResolvConf(await readFile(path, 'utf8'))
  } catch {
    return { search: [], ndots: 1 }
  }
}
