// Asks several endpoints at once and answers with what enough of them say: against instances that are wrong, not only silent.
import { isDeepStrictEqual } from 'node:util'
import type { AbortableContext, CallContext } from '../core/context.ts'
import { type Describable, describedBy, type LayerDescription, type Subject } from '../core/describe.ts'
import { type Handler, isRefusal, type Layer } from '../core/handler.ts'
import { countOption, invalidOption, knownOptions } from '../core/options.ts'
import { type FairleadError, isFairleadError } from '../errors/base.ts'
import { createError } from '../errors/classes.ts'

/** Options of a quorum. */
export interface QuorumOptions {
  /** How many endpoints are asked, all at once. At least 2. */
  readonly of: number
  /** How many equal answers it takes. Default: the majority of `of`. */
  readonly agree?: number | undefined
  /** What has to be equal, deeply. Default: the whole answer; of a proxy's answer, output and declared failure, and not its headers. */
  readonly vote?: ((answer: any) => unknown) | undefined
}

/**
 * Answers as soon as `agree` endpoints have said the same, and aborts the rest. A declared failure is an answer as any other.
 * Only for calls that are idempotent; the others go to one endpoint, as without it. Each attempt of a retry asks anew.
 * @throws FairleadError (rejects with it) `DISAGREEMENT` when so many can no longer agree, with the number of votes for each answer in `details.votes`;
 * `NO_ENDPOINT` where there are fewer endpoints than have to agree; the first failure where too many failed
 */
export function quorum(options: QuorumOptions): Layer & Describable<LayerDescription> {
  knownOptions('quorum', options, ['of', 'agree', 'vote'])
  const of = countOption('quorum.of', options.of, 0, 0)
  if (of < 2) throw invalidOption('quorum.of', options.of, 'give how many endpoints are asked: 2 or more')
  const agree = countOption('quorum.agree', options.agree, Math.floor(of / 2) + 1)
  if (agree > of) throw invalidOption('quorum.agree', agree, `give a number from 1 to ${of}: so many are asked`)
  const { vote = voteOf } = options
  if (typeof vote !== 'function') throw invalidOption('quorum.vote', vote, 'give a function of the answer')
  const layer: Layer = (next) => (request, context) => {
    if (!context.idempotent) return next(request, context)
    // Endpoints that an earlier attempt has tried may vote again; within this one each votes once.
    const { context: poll } = context.fork({ ownTried: true })
    const there = poll.resolver?.untried(poll.tried) ?? of
    if (there < agree) return Promise.reject(tooFew(context, agree, there))
    return new Promise((resolve, reject) => {
      const ballot = new Ballot(poll, agree, vote, resolve as (answer: unknown) => void, reject)
      ballot.open(next as Handler<unknown, unknown>, request, Math.min(of, there))
    })
  }
  return describedBy(layer, new Described(of, agree))
}

class Described implements Subject {
  readonly of: number
  readonly agree: number

  constructor(of: number, agree: number) {
    this.of = of
    this.agree = agree
  }

  describe(): LayerDescription {
    return { layer: 'quorum', options: { of: this.of, agree: this.agree } }
  }
}

interface Party {
  readonly vote: unknown
  /** Whose answer goes out. */
  readonly first: AbortableContext
  readonly settle: () => void
  votes: number
}

class Ballot {
  readonly #context: CallContext
  readonly #agree: number
  readonly #voteOf: (answer: any) => unknown
  readonly #resolve: (answer: unknown) => void
  readonly #reject: (error: unknown) => void
  readonly #voters: AbortableContext[] = []
  readonly #seen = new Set<string>()
  readonly #parties: Party[] = []
  #out = 0
  #over = false
  #failure: { readonly error: unknown } | undefined

  constructor(
    context: CallContext,
    agree: number,
    vote: (answer: any) => unknown,
    resolve: (answer: unknown) => void,
    reject: (error: unknown) => void,
  ) {
    this.#context = context
    this.#agree = agree
    this.#voteOf = vote
    this.#resolve = resolve
    this.#reject = reject
  }

  open(next: Handler<unknown, unknown>, request: unknown, voters: number): void {
    this.#out = voters
    for (let each = 0; each < voters; each++) this.#voters.push(this.#context.fork(NO_CHANGE))
    // All forks first: what one says at once may end the others.
    for (const voter of [...this.#voters]) {
      if (this.#over) return
      let work: PromiseLike<unknown>
      try {
        const answer = next(request, voter.context)
        work = isRefusal(answer) ? Promise.reject(answer.refused) : answer
      } catch (error) {
        work = Promise.reject(error)
      }
      work.then(
        (answer) =>
          this.#answered(
            voter,
            () => this.#voteOf(answer),
            () => this.#resolve(answer),
          ),
        (error: unknown) =>
          isFairleadError(error, 'DECLARED_FAILURE')
            ? this.#answered(
                voter,
                () => ['failure', error.failure, error.details],
                () => this.#reject(error),
              )
            : this.#failed(error),
      )
    }
  }

  #answered(voter: AbortableContext, voteOf: () => unknown, settle: () => void): void {
    if (this.#over) return
    const { endpoint } = voter.context
    // Somebody who had been heard already: one endpoint, one vote.
    if (endpoint !== undefined && this.#seen.has(endpoint.id)) {
      this.#counted()
      return
    }
    if (endpoint !== undefined) this.#seen.add(endpoint.id)
    let vote: unknown
    try {
      vote = voteOf()
    } catch (error) {
      this.#failed(error)
      return
    }
    let party = this.#parties.find((each) => isDeepStrictEqual(each.vote, vote))
    if (party === undefined) this.#parties.push((party = { vote, first: voter, settle, votes: 0 }))
    if (++party.votes < this.#agree) {
      this.#counted()
      return
    }
    this.#end(party.first)
    party.settle()
  }

  #failed(error: unknown): void {
    if (this.#over) return
    this.#failure ??= { error }
    this.#counted()
  }

  // One less is out. Ends it as soon as nobody can win any more.
  #counted(): void {
    this.#out--
    const most = this.#parties.reduce((votes, party) => Math.max(votes, party.votes), 0)
    if (most + this.#out >= this.#agree) return
    this.#end(undefined)
    const { aborted } = this.#context
    if (aborted !== undefined) this.#reject(aborted.reason)
    else if (this.#parties.length > 1 || this.#failure === undefined) this.#reject(this.#disagreement())
    else this.#reject(this.#failure.error)
  }

  #end(winner: AbortableContext | undefined): void {
    this.#over = true
    // The winner may still be streaming what it has to say.
    for (const voter of this.#voters) if (voter !== winner) voter.abort(decided(voter.context))
  }

  #disagreement(): FairleadError {
    const votes = this.#parties.map((party) => party.votes).sort((a, b) => b - a)
    const { service, operation, attempt } = this.#context
    return createError({
      code: 'DISAGREEMENT',
      message: `${this.#agree} equal answers were asked for; the votes were ${votes.join(' to ')}`,
      service,
      operation,
      attempt,
      details: { votes },
      stack: false,
      ...(this.#failure === undefined ? {} : { cause: this.#failure.error }),
    })
  }
}

const NO_CHANGE = Object.freeze({})

// Headers of a reply differ from server to server: dates, ids of requests.
function voteOf(answer: unknown): unknown {
  if (typeof answer !== 'object' || answer === null || !('output' in answer)) return answer
  const { output, failure } = answer as { readonly output: unknown; readonly failure?: string }
  return [output, failure]
}

function tooFew({ service, operation, attempt }: CallContext, agree: number, there: number): FairleadError {
  return createError({
    code: 'NO_ENDPOINT',
    message: `${agree} endpoints have to agree, and ${there === 0 ? 'none' : `only ${there}`} can be asked`,
    service,
    operation,
    attempt,
    stack: false,
  })
}

function decided({ service, operation, attempt }: CallContext): FairleadError {
  return createError({
    code: 'CANCELLED',
    message: 'the others have decided',
    service,
    operation,
    attempt,
    stack: false,
  })
}
