// Finds the operation of a request: literal segments before parameters, so that `/stock/all` is not taken for a `:sku`.
import { type HttpRoute, routeOf } from '../../core/http-wire.ts'
import type { Operation } from '../types.ts'

/** What a path leads to. */
export interface Found {
  readonly operation: Operation
  readonly route: HttpRoute
  /** Parts of the path by the name of their parameter, still encoded. */
  readonly params: Readonly<Record<string, string>>
}

/** Methods by path. */
export interface Router {
  /** The operation; or the methods that the path has, empty where there is no such path. */
  find(method: string, path: string): Found | readonly string[]
}

interface Node {
  readonly literals: Map<string, Node>
  param: Node | undefined
  readonly ends: Map<string, { readonly operation: Operation; readonly route: HttpRoute }>
}

/** Routes by the HTTP bindings of the operations. */
export function createRouter(operations: readonly Operation[]): Router {
  const root = node()
  for (const operation of operations) {
    const route = routeOf(operation)
    let at = root
    for (const { literal } of route.segments) {
      if (literal === undefined) at = at.param ??= node()
      else at = inner(at, decoded(literal) ?? literal)
    }
    at.ends.set(route.method, { operation, route })
  }
  return {
    find(method, path) {
      const parts = path === '/' ? [] : path.slice(1).split('/')
      const wanted = method === 'HEAD' ? ['HEAD', 'GET'] : [method]
      const allowed = new Set<string>()
      for (const { end, values } of walk(root, parts, 0, [])) {
        for (const each of wanted) {
          const found = end.get(each)
          if (found !== undefined) return { ...found, params: named(found.route, values) }
        }
        for (const each of end.keys()) allowed.add(each)
      }
      if (allowed.has('GET')) allowed.add('HEAD')
      return allowed.size === 0 ? [] : [...allowed, 'OPTIONS'].sort()
    },
  }
}

// Every place that the path may mean, the most literal first. The depth is that of the contract's own paths.
function* walk(
  at: Node,
  parts: readonly string[],
  index: number,
  values: readonly string[],
): Generator<{ readonly end: Node['ends']; readonly values: readonly string[] }> {
  const part = parts[index]
  if (part === undefined) {
    if (at.ends.size > 0) yield { end: at.ends, values }
    return
  }
  const literal = at.literals.get(decoded(part) ?? part)
  if (literal !== undefined) yield* walk(literal, parts, index + 1, values)
  if (at.param !== undefined && part !== '') yield* walk(at.param, parts, index + 1, [...values, part])
}

function node(): Node {
  return { literals: new Map(), param: undefined, ends: new Map() }
}

function inner(at: Node, literal: string): Node {
  let next = at.literals.get(literal)
  if (next === undefined) at.literals.set(literal, (next = node()))
  return next
}

function named(route: HttpRoute, values: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(route.params.map((param, index) => [param, values[index] as string]))
}

/** A decoded part of a path, or undefined where it is badly encoded. */
export function decoded(part: string): string | undefined {
  try {
    return decodeURIComponent(part)
  } catch {
    return undefined
  }
}
