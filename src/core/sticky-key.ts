// What a user's function says of which calls belong together, as the text that balancers go by.

/** No key for undefined and null; of anything else its text, since numbers and ids of other kinds are keys as good as any. */
export function stickyKeyOf(given: unknown): string | undefined {
  if (typeof given === 'string') return given
  return given === undefined || given === null ? undefined : String(given)
}
