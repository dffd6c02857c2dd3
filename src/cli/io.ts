// What a command sees of the world.

/** Where it writes, and what it may look at. */
export interface Io {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  readonly env: Readonly<Record<string, string | undefined>>
  /** Drivers are those of the project in this folder. */
  readonly cwd: string
}
