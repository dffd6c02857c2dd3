// The parts of a bench one after the other: all, or the one that is asked for.
import type { Line } from './lines.ts'
import type { Place } from './place.ts'

/** What to run. */
export interface PartsOptions {
  readonly quick: boolean
  /** One part; undefined: all. */
  readonly only: string | undefined
}

/** What a bench answers: its lines, and what each part has to say besides. */
export interface PartsReport {
  readonly lines: readonly Line[]
  readonly [more: string]: unknown
}

type Part<Where> = (where: Where, quick: boolean) => Promise<{ readonly lines: readonly Line[] }>

/** Runs them at one place. */
export function runParts(
  place: Place,
  parts: Readonly<Record<string, Part<Place>>>,
  options: PartsOptions,
): Promise<PartsReport> {
  return runEach(place, parts, options, (part) => part(place, options.quick))
}

/** Runs each on a site of its own: what one leaves to be cleaned up is nobody else's. */
export function runPartsOnSites<Site extends { close(): Promise<void> }>(
  place: Place,
  parts: Readonly<Record<string, Part<Site>>>,
  options: PartsOptions,
  start: (place: Place) => Promise<Site>,
): Promise<PartsReport> {
  return runEach(place, parts, options, async (part) => {
    const site = await start(place)
    try {
      return await part(site, options.quick)
    } finally {
      await site.close()
    }
  })
}

async function runEach<P>(
  place: Place,
  parts: Readonly<Record<string, P>>,
  { only }: PartsOptions,
  run: (part: P) => Promise<{ readonly lines: readonly Line[] }>,
): Promise<PartsReport> {
  const lines: Line[] = []
  const report: Record<string, unknown> = { nodes: { [place.version]: place.picked } }
  for (const [name, part] of Object.entries(parts)) {
    if (only !== undefined && only !== name) continue
    const { lines: found, ...rest } = await run(part)
    lines.push(...found)
    report[name] = rest
  }
  return { lines, ...report }
}
