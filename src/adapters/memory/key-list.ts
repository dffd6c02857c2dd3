// The lists of one key: by priority, and within one in the order of the channel.
import type { Entry, KeyLevel, KeyState } from './entry.ts'

/** Puts a message at its place among those of its key. */
export function insert(key: KeyState, entry: Entry): KeyLevel {
  const level = levelFor(key, entry.priority)
  const { head, tail } = level
  if (head === undefined || tail === undefined) {
    level.head = entry
    level.tail = entry
  } else if (tail.seq < entry.seq) {
    tail.next = entry
    level.tail = entry
  } else if (entry.seq < head.seq) {
    entry.next = head
    level.head = entry
  } else {
    let before = head
    while (before.next !== undefined && before.next.seq < entry.seq) before = before.next
    entry.next = before.next
    before.next = entry
  }
  return level
}

/** Takes out the one that comes next. */
export function removeFirst(key: KeyState): void {
  const level = key.top
  const entry = level?.head
  if (level === undefined || entry === undefined) return
  level.head = entry.next
  entry.next = undefined
  level.count--
  if (level.head !== undefined) return
  level.tail = undefined
  if (level.below !== undefined) key.top = level.below
}

function levelFor(key: KeyState, priority: number): KeyLevel {
  let above: KeyLevel | undefined
  let level = key.top
  if (level !== undefined && level.head === undefined && level.priority !== priority) level = undefined
  while (level !== undefined && level.priority > priority) {
    above = level
    level = level.below
  }
  if (level?.priority === priority) return level
  const made: KeyLevel = { priority, head: undefined, tail: undefined, count: 0, below: level }
  if (above === undefined) key.top = made
  else above.below = made
  return made
}
