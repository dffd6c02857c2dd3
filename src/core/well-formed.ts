// Half of a surrogate pair has no bytes: on the way to a database it would become a replacement character, and two texts could become one.

// Node 20 has it; the library of ES2023 does not.
interface Text {
  isWellFormed(): boolean
}

/** Whether a text is Unicode, without halves of surrogate pairs. */
export function isWellFormed(text: string): boolean {
  return (text as unknown as Text).isWellFormed()
}
