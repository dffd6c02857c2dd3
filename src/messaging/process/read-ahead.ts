// The row of a process is read along with the claim of its message, where the store has a way: a round trip less for each step.
import type { InboxOpening, StateKey, StateOpening } from '../../core/contracts/store.ts'
import type { Message } from '../../core/message.ts'
import type { InboxPlace } from '../inbox/types.ts'
import type { ProcessBinding } from './definition.ts'
import type { ProcessPlace } from './runner-types.ts'

type Found = ReturnType<StateOpening['found']>

/** What a message is to find its process by; undefined where it says nothing of one. */
export function keyIn(
  binding: Pick<ProcessBinding, 'id' | 'correlation'> | undefined,
  message: Message,
): StateKey | undefined {
  if (binding?.correlation !== undefined) return { correlation: binding.correlation(message) }
  const id = binding?.id === undefined ? message.correlationId : binding.id(message)
  return id === undefined ? undefined : { id }
}

/** What was read ahead for messages that are being handled. */
export class ReadAhead {
  readonly #store: ProcessPlace<unknown>
  readonly #kind: string
  readonly #found: WeakMap<Message, { readonly key: StateKey; readonly found: Found }>

  constructor(store: ProcessPlace<unknown>, kind: string) {
    this.#store = store
    this.#kind = kind
    this.#found = new WeakMap()
  }

  /** The store as a consumer is to have it whose messages find their process by this key. */
  place(keyOf: (message: Message) => StateKey | undefined): InboxPlace<unknown> {
    const store = this.#store
    if (store.states.claiming === undefined) return store
    return {
      handlesEnd: store.handlesEnd,
      inbox: store.inbox,
      transaction: (work, options) => store.transaction(work, options),
      isTransaction: (candidate): candidate is unknown => store.isTransaction(candidate),
      beforeCommit: (tx, hook, at) => store.beforeCommit(tx, hook, at),
      onCommitted: (listener) => store.onCommitted(listener),
      opening: (consumer, message) => this.#opening(consumer, message, keyOf),
    }
  }

  /** What was read by this key when the transaction of the message began. */
  read(message: Message, { id, correlation }: StateKey): { readonly found: Found } | undefined {
    const read = this.#found.get(message)
    return read?.key.id === id && read?.key.correlation === correlation ? read : undefined
  }

  #opening(
    consumer: string,
    message: Message,
    keyOf: (message: Message) => StateKey | undefined,
  ): InboxOpening | undefined {
    // Of an earlier transaction.
    this.#found.delete(message)
    const key = soon(keyOf, message)
    if (key === undefined) return undefined
    const opening = this.#store.states.claiming?.(consumer, message, this.#kind, key)
    if (opening === undefined) return undefined
    return {
      statement: opening.statement,
      answers: (opened) => {
        this.#found.set(message, { key, found: opening.found(opened) })
        return opening.answers(opened)
      },
    }
  }
}

// A function of the user's that throws does so again where it counts.
function soon(keyOf: (message: Message) => StateKey | undefined, message: Message): StateKey | undefined {
  try {
    const key = keyOf(message)
    const text = key?.id ?? key?.correlation
    return typeof text === 'string' && text !== '' ? key : undefined
  } catch {
    return undefined
  }
}
