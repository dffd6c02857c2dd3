// Positions of our own logs: the generation of the log and the sequence of the last event that was read. To readers they are opaque.

/** What a position of ours says. */
export interface Place {
  readonly generation: string
  /** Of the last event that was read; 0: none. */
  readonly sequence: number
}

/** The position behind an event. */
export function formatPosition(generation: string, sequence: number): string {
  return `${generation}-${sequence}`
}

/** What a position says; undefined for one that was never ours. */
export function parsePosition(text: string): Place | undefined {
  const [, generation, digits] = /^([A-Za-z0-9]{1,64})-(\d{1,15})$/.exec(text) ?? []
  return generation === undefined ? undefined : { generation, sequence: Number(digits) }
}

/** Whether a text can be a position of any server: printable ASCII without spaces, commas and quotes, at most 200 characters. */
export function isPosition(text: unknown): text is string {
  return typeof text === 'string' && /^[!#-+\--~]{1,200}$/.test(text)
}
