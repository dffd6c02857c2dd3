// State per key where keys come from outside: bounded, the longest unused goes first, and what must not be forgotten stays.

/** A bounded map that makes its values. */
export interface Keyed<V> {
  get(key: string): V
  readonly size: number
  values(): IterableIterator<V>
}

/**
 * @param max how many keys are kept
 * @param make the value of a new key
 * @param mayForget false for a value that must stay (an open circuit). Where every value must stay, the newest key gets a value that is not kept.
 */
export function keyed<V>(
  max: number,
  make: (key: string) => V,
  mayForget: (value: V) => boolean = () => true,
): Keyed<V> {
  // A Map keeps insertion order: taking out and putting in again makes it a list by last use.
  const values = new Map<string, V>()
  return {
    get(key) {
      let value = values.get(key)
      if (value !== undefined) {
        if (values.size > 1) {
          values.delete(key)
          values.set(key, value)
        }
        return value
      }
      value = make(key)
      if (values.size >= max && !forgetOne(values, mayForget)) return value
      values.set(key, value)
      return value
    },
    get size() {
      return values.size
    },
    values: () => values.values(),
  }
}

// Looks at a few of the oldest only: a search through thousands of open circuits would cost more than it saves.
const LOOK_AT = 64

function forgetOne<V>(values: Map<string, V>, mayForget: (value: V) => boolean): boolean {
  let looked = 0
  for (const [key, value] of values) {
    if (mayForget(value)) {
      values.delete(key)
      return true
    }
    // To the back with it: the next search has to look at others.
    values.delete(key)
    values.set(key, value)
    if (++looked >= LOOK_AT || looked >= values.size) return false
  }
  return false
}
