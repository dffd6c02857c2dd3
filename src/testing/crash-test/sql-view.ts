// A process's view of an SQL database in a crash test: the driver that its store and its handlers are given. Each statement is a step at which it may crash.
import type { SqlDriver } from '../../core/contracts/store.ts'
import { createError } from '../../errors/classes.ts'
import { type Stepping, steps } from './memory-stage.ts'
import type { Sites } from './sites.ts'
import type { SqlConnection, Turn } from './sql-connection.ts'
import { handleOf } from './sql-handle.ts'
import type { StageLife, StageStep } from './stage.ts'
import { BEFORE } from './steps.ts'

/** How long a transaction waits for others, virtual milliseconds. */
const TURN_WITHIN_MS = 30_000

interface Scope {
  /** Its work may use it. */
  open: boolean
  /** Committed, or undone: nothing is left to do. */
  over: boolean
  turn: Turn | undefined
  cancel: (() => void) | undefined
  /** What it cannot be committed for. */
  failure: Error | undefined
  /** Something was done of which nobody knows whether it went well. */
  unseen: boolean
}

/** A life with the places of the user's code, where they are kept. */
interface SitedLife extends StageLife {
  readonly world?: { readonly sites: Sites | undefined; hold<T>(work: () => Promise<T> | T): Promise<T> } | undefined
}

const always = (): boolean => true
// Calls of a store that change nothing.
const READS = new Set(['pending', 'stats', 'parked', 'due', 'load', 'find'])

/** What one life sees of a database. */
export class SqlView<Tx> {
  readonly #connection: SqlConnection<Tx>
  readonly #life: SitedLife
  readonly #name: string
  readonly #scopes = new Set<Scope>()
  readonly #handles = new WeakMap<object, Scope>()
  /** What has the turn only reads. */
  #reading = false

  constructor(connection: SqlConnection<Tx>, life: SitedLife, name: string) {
    this.#connection = connection
    this.#life = life
    this.#name = name
    life.onDeath(() => {
      for (const scope of this.#scopes) {
        scope.open = false
        scope.cancel?.()
        if (scope.over || scope.turn === undefined) continue
        const undone = connection.abandon(scope.turn)
        // It takes real time, and the others do not have to wait for it any longer than that.
        void life.world?.hold(() => undone)
      }
    })
  }

  /** For the user's own statements: each is a step. */
  driver(): SqlDriver<Tx> {
    return {
      dialect: this.#connection.driver.dialect,
      transaction: (work) => this.#transaction(work),
      isTransaction: (candidate): candidate is Tx => this.#scopeOf(candidate)?.open === true,
      query: async (tx, text, params) => {
        const scope = this.#scopeOf(tx)
        if (scope === undefined)
          throw required('a transaction is needed here: give what transaction() gives to its work')
        return this.#inside(scope, `${this.#name}.${labelOf(text)}`, () => this.#connection.statement(text, params), {
          words: () => wordsOf(text, params),
          answer: answerOf,
        })
      },
      execute: (text, params) =>
        this.#alone(
          `${this.#name}.${labelOf(text)}`,
          () => this.#connection.together(() => this.#connection.statement(text, params)),
          { words: () => wordsOf(text, params), answer: answerOf },
        ),
    }
  }

  /** For the parts of a store, each call of which is one step, whatever its statements are. */
  bare(): SqlDriver<Tx> {
    const connection = this.#connection
    return {
      dialect: connection.driver.dialect,
      transaction: (work) => connection.together(() => work(connection.outer)),
      isTransaction: (candidate): candidate is Tx =>
        candidate === connection.outer || this.#scopeOf(candidate)?.open === true,
      query: (_, text, params) => connection.statement(text, params),
      execute: (text, params) => connection.together(() => connection.statement(text, params), this.#reading),
    }
  }

  /** A part of a store on `bare()`: calls in a transaction are steps in it, others take their turn. */
  part<T extends object>(name: string, part: T): T {
    const step: Stepping['step'] = (step, call, options, args) => {
      const scope = this.#scopeOf(args[0])
      if (scope !== undefined) return this.#inside(scope, step, call, options)
      const reads = READS.has(step.slice(step.lastIndexOf('.') + 1))
      const work = (): unknown => {
        this.#reading = reads
        return call()
      }
      return this.#alone(step, work, options)
    }
    return steps({ step }, `${this.#name}.${name}`, part)
  }

  #scopeOf(candidate: unknown): Scope | undefined {
    const isHandle = (typeof candidate === 'object' && candidate !== null) || typeof candidate === 'function'
    return isHandle ? this.#handles.get(candidate) : undefined
  }

  // A step that was begun by the line of the user's that is at work now, however long it had to wait.
  #from(): <T>(step: () => Promise<T>) => Promise<T> {
    const sites = this.#life.world?.sites
    const site = sites?.here()
    return (step) => (sites === undefined ? step() : sites.within(site, step))
  }

  async #transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    const connection = this.#connection
    const name = this.#name
    const here = this.#from()
    const scope = await this.#turn()
    try {
      const beginning: StageStep<void> = { kinds: BEFORE, real: true, idle: always }
      await here(() => this.#life.step(`${name}.begin`, () => connection.prepare(), beginning))
      scope.open = true
      const handle = this.#handle(scope)
      const value = await connection.scopes.run(scope, () => work(handle))
      scope.open = false
      const commit = async (): Promise<void> => {
        if (scope.failure !== undefined) throw scope.failure
        await connection.keep(scope.unseen).catch((error: unknown) => {
          throw swallowed(error)
        })
        connection.changes++
        this.#end(scope)
      }
      await here(() => this.#life.step(`${name}.commit`, commit, { real: true }))
      return value
    } catch (error) {
      scope.open = false
      if (!scope.over)
        await this.#life.step(`${name}.rollback`, () => connection.undo(), { kinds: [], real: true, idle: always })
      this.#end(scope)
      throw error
    }
  }

  async #alone<T>(step: string, call: () => Promise<T> | T, options: StageStep<T>): Promise<T> {
    const here = this.#from()
    const scope = await this.#turn()
    const work = async (): Promise<T> => {
      try {
        return await call()
      } finally {
        // What is asked over and over changes nothing of what there is to do.
        if (options.idle === undefined) this.#connection.changes++

        this.#end(scope)
      }
    }
    try {
      return await here(() => this.#life.step(step, work, { ...options, real: true }))
    } finally {
      this.#end(scope)
    }
  }

  // The first to come is the first to be served; who is dead by then is passed over.
  #turn(): Promise<Scope> {
    const connection = this.#connection
    if (connection.scopes.getStore()?.open === true)
      return Promise.reject(
        createError({
          code: 'PROGRAMMING_ERROR',
          effect: 'none',
          message:
            'a transaction of this database is open here, and there is one connection: use the transaction at hand',
        }),
      )
    const { clock } = this.#life
    const scope: Scope = {
      open: false,
      over: false,
      turn: undefined,
      cancel: undefined,
      failure: undefined,
      unseen: false,
    }
    this.#scopes.add(scope)
    const turn = new Promise<Scope>((resolve, reject) => {
      const timer = clock.setTimer(
        () => {
          scope.cancel?.()
          this.#end(scope)
          const message = `waited ${TURN_WITHIN_MS} ms for a turn on the connection: a transaction does not end`
          reject(createError({ code: 'SELF_EXHAUSTED', message }))
        },
        TURN_WITHIN_MS,
        undefined,
      )
      scope.cancel = connection.queue((given) => {
        clock.clearTimer(timer)
        scope.turn = given
        resolve(scope)
      })
    })
    return this.#life.returning(turn)
  }

  #end(scope: Scope): void {
    scope.open = false
    scope.over = true
    this.#scopes.delete(scope)
    scope.turn?.end()
  }

  // A fault takes the connection with it, and with the connection the transaction.
  async #inside<T>(scope: Scope, step: string, call: () => Promise<T> | T, options: StageStep<T>): Promise<T> {
    if (!scope.open) throw over()
    if (scope.failure !== undefined) throw scope.failure
    let said: { readonly error: unknown } | undefined
    const asked = async (): Promise<T> => {
      if (!scope.open) throw over()
      try {
        return await call()
      } catch (error) {
        said = { error }
        throw error
      }
    }
    try {
      return await this.#life.step(step, asked, { ...options, real: true })
    } catch (error) {
      if (said?.error !== error) {
        scope.failure = lost(error)
        throw scope.failure
      }
      if (this.#connection.dialect.spoils) scope.failure ??= swallowed(error)
      throw error
    }
  }

  #handle(scope: Scope): Tx {
    const { outer, dialect } = this.#connection
    const handle = handleOf(outer as object, dialect.spoils, {
      get open() {
        return scope.open
      },
      check: () => {
        if (!scope.open) throw over()
      },
      statement: (method, args, call) => {
        const [text, params] = args
        const isText = typeof text === 'string'
        return this.#inside(scope, `${this.#name}.${isText ? labelOf(text) : method}`, call, {
          words: () => (isText ? wordsOf(text, Array.isArray(params) ? params : []) : method),
          answer: answerOf,
        })
      },
      other: (answer) => {
        scope.unseen = true
        return answer instanceof Promise ? this.#life.returning(answer) : answer
      },
      rollback: async () => {
        scope.failure ??= createError({ code: 'PROGRAMMING_ERROR', effect: 'none', message: 'it was rolled back' })
      },
    })
    this.#handles.set(handle, scope)
    return handle as Tx
  }
}

/** What a statement is called as a step: its verb, and what it is about. */
export function labelOf(text: string): string {
  const flat = text.replace(/\s+/g, ' ').trim()
  const verb = /^\w+/.exec(flat)?.[0].toLowerCase() ?? 'statement'
  const about =
    verb === 'select'
      ? (/\bfrom ((?:"[^"]+"|[\w.])+)/i.exec(flat) ?? /^select ((?:"[^"]+"|[\w.])+)\(/i.exec(flat))
      : /^\w+ (?:(?:or \w+|into|from|table|if|not|exists) )*((?:"[^"]+"|[\w.])+)/i.exec(flat)
  const name = about?.[1]?.replaceAll('"', '').split('.').at(-1)
  return name === undefined ? verb : `${verb} ${name}`
}

function wordsOf(text: string, params: readonly unknown[]): string {
  const flat = text.replace(/\s+/g, ' ').trim()
  const given = params.map(shownParam).join(', ')
  return `${flat.length > 80 ? `${flat.slice(0, 77)}...` : flat}${given === '' ? '' : ` [${given}]`}`
}

function shownParam(value: unknown): string {
  if (value instanceof Uint8Array) return `${value.byteLength} bytes`
  const text = String(value)
  return text.length > 40 ? `${text.slice(0, 37)}...` : text
}

function answerOf(answer: unknown): string {
  const { rows } = (answer ?? {}) as { readonly rows?: unknown }
  return Array.isArray(rows) && rows.length > 0 ? `${rows.length} ${rows.length === 1 ? 'row' : 'rows'}` : ''
}

function required(message: string): Error {
  return createError({ code: 'TRANSACTION_REQUIRED', message })
}

function over(): Error {
  return required('this transaction is over: use it inside the work it was given to')
}

function lost(cause: unknown): Error {
  const message = 'the connection was lost in the middle of the transaction: nothing of it was kept'
  return createError({ code: 'CONNECTION_LOST', effect: 'none', message, cause })
}

function swallowed(cause: unknown): Error {
  const message = 'a statement of the transaction failed and its error was swallowed: nothing of it can be committed'
  return createError({ code: 'PROGRAMMING_ERROR', effect: 'none', message, cause })
}
