// Loads a dependency when it is first needed, synchronously: no start-up cost, and no first call that races an `import()`.
import { createRequire } from 'node:module'

/** Loads a package by name, as `require` does (Node >= 20.19 also loads ES modules so). */
export function lazy<T>(name: string): T {
  return createRequire(import.meta.url)(name) as T
}
