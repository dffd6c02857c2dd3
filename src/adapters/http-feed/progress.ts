// What a group has behind it, as the text that lies in the checkpoint: a position, and what came after it out of order.

/** How far a group is. Events are counted from 1 behind `after`; events are only ever added to a feed, so that these numbers stay true. */
export interface Progress {
  /** All up to here are settled. */
  readonly after: string
  /** Settled ones behind it, by their numbers. */
  readonly done: ReadonlySet<number>
  /** How often unsettled ones were handed out, by their numbers. */
  readonly handed: ReadonlyMap<number, number>
  /** Those that somebody has right now, by their numbers: only for those who count what waits. */
  readonly held: ReadonlySet<number>
}

/** Nothing behind a position was touched. */
export function freshProgress(after: string): Progress {
  return { after, done: new Set(), handed: new Map(), held: new Set() }
}

/** As text: the position alone where that says it all, such as `3f2a-17`; else `3f2a-17 done=2-5,8 handed=1:2 held=1`. */
export function formatProgress({ after, done, handed, held }: Progress): string {
  let text = after
  if (done.size > 0) text += ` done=${ranges(done)}`
  if (handed.size > 0) text += ` handed=${[...handed].map(([number, times]) => `${number}:${times}`).join(',')}`
  if (held.size > 0) text += ` held=${ranges(held)}`
  return text
}

function ranges(all: ReadonlySet<number>): string {
  const numbers = [...all].sort((a, b) => a - b)
  const parts: string[] = []
  for (let at = 0; at < numbers.length; ) {
    const from = numbers[at] as number
    let to = from
    for (at++; numbers[at] === to + 1; at++) to++
    parts.push(from === to ? String(from) : `${from}-${to}`)
  }
  return parts.join(',')
}

// No reader is so far ahead; a text that says so is not one of ours.
const MOST = 1_000_000

/** Reads the text. What cannot be read is left out: events are handed out once more then, and none is missed. */
export function parseProgress(text: string): Progress {
  const [after = '', ...parts] = text.split(' ')
  const done = new Set<number>()
  const held = new Set<number>()
  const handed = new Map<number, number>()
  for (const part of parts) {
    const [name, values = ''] = part.split('=')
    for (const value of values.split(',')) {
      if (name === 'done' || name === 'held') {
        const [, from, to = from] = /^(\d{1,7})(?:-(\d{1,7}))?$/.exec(value) ?? []
        for (let number = Number(from); number <= Math.min(Number(to), MOST); number++)
          (name === 'done' ? done : held).add(number)
      } else if (name === 'handed') {
        const [, number, times] = /^(\d{1,7}):(\d{1,7})$/.exec(value) ?? []
        if (number !== undefined) handed.set(Number(number), Number(times))
      }
    }
  }
  return { after, done, handed, held }
}
