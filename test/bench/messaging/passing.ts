// A schema that takes what comes: shows what the rest of the way costs.

/** A Standard Schema without any rule. */
export interface Passing<T> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => { readonly value: T }
    readonly types?: { readonly input: T; readonly output: T } | undefined
  }
}

/** Makes one. */
export function passing<T>(): Passing<T> {
  return { '~standard': { version: 1, vendor: 'bench', validate: (value) => ({ value: value as T }) } }
}
