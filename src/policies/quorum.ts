// Asks several endpoints at once and answers with what enough of them say: against instances that are wrong, not only silent.
import { isDeepStrictEqual } from 'node:util'
import { FailureAnswer } from '../core/answer.ts'
import type { AbortableContext, CallContext } from '../core/context.ts'
import { type Describable, describedBy, type LayerDescription, type Subject } from '../core/describe.ts'
import { type Handler, isRefusal, type Layer } from '../core/handler.ts'
import { countOption, invalidOption, knownOptions } from '../core/options.ts'
import { type FairleadError, isFairleadError } from '../errors/base.ts'
import { createError, withFields } from '../errors/classes.ts'

/** Options of a quorum. */
export interface QuorumOptions {
  /** How many endpoints are asked, all at once. At least 2. */
  readonly of: number
  /** How many equal answers it takes. Default: the majority of `of`. */
  readonly agree?: number | undefined
  /** What of an answer has to be equal, deeply. Default: all of it; of a transport's reply not its headers. A declared failure is compared by its name and data, without asking. */
  readonly vote?: ((answer: any) => unknown) | undefined
}

/**
 * Answers as soon as `agree` endpoints have said the same, and aborts the rest. A declared failure is an answer as any other.
 * Only for calls that are idempotent; the others go to one endpoint, as without it. Each attempt of a retry asks anew, and so does a hedge around it:
 * it may ask the same endpoints a second time, so a quorum of many needs none.
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
    // How many there are shows at the pick, which has an endpoint for each voter or not. Nobody else knows who can be asked:
    // a resolver counts those that give hope, and after an outage that is nobody.
    return new Promise((resolve, reject) => {
      const ballot = new Ballot(poll, of, agree, vote, resolve as (answer: unknown) => void, reject)
      ballot.open(next as Handler<unknown, unknown>, request)
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
  readonly #of: number
  readonly #agree: number
  readonly #voteOf: (answer: any) => unknown
  readonly #resolve: (answer: unknown) => void
  readonly #reject: (error: unknown) => void
  readonly #voters: AbortableContext[] = []
  readonly #seen = new Set<string>()
  readonly #parties: Party[] = []
  #out = 0
  #unasked: { readonly first: unknown; voters: number } | undefined
  // Somebody may have done what was asked for.
  #touched = false
  #over = false
  #failure: { readonly error: unknown } | undefined

  constructor(
    context: CallContext,
    of: number,
    agree: number,
    vote: (answer: any) => unknown,
    resolve: (answer: unknown) => void,
    reject: (error: unknown) => void,
  ) {
    this.#context = context
    this.#of = of
    this.#agree = agree
    this.#voteOf = vote
    this.#resolve = resolve
    this.#reject = reject
  }

  open(next: Handler<unknown, unknown>, request: unknown): void {
    this.#out = this.#of
    for (let each = 0; each < this.#of; each++) this.#voters.push(this.#context.fork(NO_CHANGE))
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
            () => (answer instanceof FailureAnswer ? failureVote(answer.failure, answer.data) : this.#voteOf(answer)),
            () => this.#resolve(answer),
          ),
        (error: unknown) =>
          isFairleadError(error, 'DECLARED_FAILURE')
            ? this.#answered(
                voter,
                () => failureVote(error.failure, error.details),
                () => this.#reject(error),
              )
            : this.#failed(error, voter.context),
      )
    }
  }

  #answered(voter: AbortableContext, voteOf: () => unknown, settle: () => void): void {
    if (this.#over) return
    this.#touched = true
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
      this.#failed(error, voter.context)
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

  #failed(error: unknown, { endpoint }: CallContext): void {
    if (this.#over) return
    // There was no endpoint for this one, or none that is not asked already.
    if (endpoint === undefined && isFairleadError(error, 'NO_ENDPOINT')) {
      this.#unasked ??= { first: error, voters: 0 }
      this.#unasked.voters++
    } else {
      this.#failure ??= { error }
      if (!isFairleadError(error) || error.effect !== 'none') this.#touched = true
    }
    this.#counted()
  }

  // One less is out. Ends it as soon as nobody can win any more.
  #counted(): void {
    this.#out--
    const most = this.#parties.reduce((votes, party) => Math.max(votes, party.votes), 0)
    if (most + this.#out >= this.#agree) return
    const asked = this.#of - (this.#unasked?.voters ?? 0)
    // Whoever is still out may have done it all the same.
    if (this.#out > 0) this.#touched = true
    this.#end(undefined)
    const { aborted } = this.#context
    if (aborted !== undefined) this.#reject(aborted.reason)
    else if (asked < this.#agree) this.#reject(this.#knowing(this.#tooFew(asked)))
    else if (this.#parties.length > 1 || this.#failure === undefined) this.#reject(this.#disagreement())
    else this.#reject(this.#knowing(this.#failure.error))
  }

  // What all of them may have done, not only the one whose error it is.
  #knowing(error: unknown): unknown {
    return this.#touched && isFairleadError(error) && error.effect === 'none'
      ? withFields(error, { effect: 'unknown' })
      : error
  }

  #end(winner: AbortableContext | undefined): void {
    this.#over = true
    // The winner may still be streaming what it has to say.
    for (const voter of this.#voters) if (voter !== winner) voter.abort(decided(voter.context))
  }

  #tooFew(asked: number): FairleadError {
    const { service, operation, attempt } = this.#context
    return createError({
      code: 'NO_ENDPOINT',
      message: `${this.#agree} endpoints have to agree, and ${asked === 0 ? 'none' : `only ${asked}`} can be asked`,
      service,
      operation,
      attempt,
      stack: false,
      cause: this.#unasked?.first,
    })
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

// Not who declared it: each does so for itself.
function failureVote(failure: string | undefined, data: unknown): unknown {
  return ['failure', failure, data]
}

// Headers of a transport's reply differ from server to server: dates, ids of requests. Anything else that has an `output` may have more to say.
const REPLY = new Set(['output', 'failure', 'headers', 'trailers'])

function voteOf(answer: unknown): unknown {
  if (typeof answer !== 'object' || answer === null || !('output' in answer)) return answer
  if (!Object.keys(answer).every((key) => REPLY.has(key))) return answer
  const { output, failure } = answer as { readonly output: unknown; readonly failure?: string }
  return [output, failure]
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
