// The handle of a transaction in a crash test: that of the run's own transaction, until the transaction is over. Statements that answer with a promise are steps.

/** What becomes of the calls of a handle. */
export interface HandleRules {
  /** Whether the transaction is open. */
  readonly open: boolean
  /** Before each call. @throws FairleadError `TRANSACTION_REQUIRED` when it is over */
  check(): void
  /** A call that is a statement. */
  statement(method: string, args: readonly unknown[], call: () => unknown): Promise<unknown>
  /** A call of which nobody knows what it does. */
  other(answer: unknown): unknown
  rollback(): Promise<void>
}

// Of PGlite: each answers with a promise.
const STATEMENTS = new Set(['query', 'exec', 'sql'])

/** A handle that goes by these rules. `asks`: its statements answer with promises. */
export function handleOf<Tx extends object>(outer: Tx, asks: boolean, rules: HandleRules): Tx {
  const call = (name: string | symbol, value: (...args: never[]) => unknown): ((...args: unknown[]) => unknown) =>
    name === 'rollback'
      ? () => rules.rollback()
      : (...args) => {
          rules.check()
          const run = (): unknown => Reflect.apply(value, outer, args)
          if (asks && STATEMENTS.has(name as string)) return rules.statement(name as string, args, run)
          const answer = run()
          return answer === outer ? facade : rules.other(answer)
        }
  // An empty target: what a proxy may answer is bound to what its target has.
  const target = (typeof outer === 'function' ? () => undefined : Object.create(Object.getPrototypeOf(outer))) as Tx
  const facade: Tx = new Proxy(target, {
    get(_, name) {
      if (name === 'closed') return 'closed' in outer ? !rules.open : undefined
      const value: unknown = Reflect.get(outer, name, outer)
      return typeof value === 'function' && name !== 'constructor' ? call(name, value as never) : value
    },
    has: (_, name) => Reflect.has(outer, name),
    set: (_, name, value) => Reflect.set(outer, name, value, outer),
    apply: (_, __, args) => call('apply', outer as never)(...args),
  })
  return facade
}
