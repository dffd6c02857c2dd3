// A process as data: what defineProcess collects, and runners and explain read.
import type { AnySchema } from '../../core/schema.ts'
import type { FairleadError } from '../../errors/base.ts'
import type { Channel } from '../types.ts'
import type { Found, ProcessContext, StepFacts } from './context.ts'

/** The process as handlers of any kind get it. */
export type AnyProcessContext = ProcessContext<any, any, any, string>

/** A message of any type. */
export type AnyMessage = any

/** A command that follows from a step. */
export interface Follow {
  readonly channel: Channel
  readonly type: string
  readonly data: (facts: StepFacts<any, any>) => unknown
}

/** A question about a step. */
export interface Question extends Follow {
  readonly found: ((reply: any, process: AnyProcessContext) => Found | Promise<Found>) | undefined
  readonly everyMs: number
  readonly times: number
}

/** How a step is undone. */
export interface Undo extends Follow {
  readonly withinMs: number | undefined
  /** Somebody answers it, so that the next one waits for that. */
  readonly awaited: boolean
}

/** What is done with replies to a step. */
export interface Replies {
  readonly reply?: ((reply: any, process: AnyProcessContext) => unknown) | undefined
  readonly failure?: ((name: any, data: any, process: AnyProcessContext) => unknown) | undefined
  readonly error?: ((error: FairleadError, process: AnyProcessContext) => unknown) | undefined
  readonly sends?: readonly string[] | undefined
}

/** A handler, and which steps it sends, where it says so. */
export interface Handling {
  readonly handle: (process: AnyProcessContext) => unknown
  readonly sends: readonly string[] | undefined
}

/** A step. */
export interface ProcessStep {
  readonly name: string
  readonly channel: Channel
  readonly type: string
  readonly withinMs: number | undefined
  /** Its type declares a reply. */
  readonly replies: boolean
  readonly undo: Undo | undefined
  readonly ask: Question | undefined
  readonly onReply: Replies
  readonly onUnknown: Handling | undefined
}

/** What a message says of a step. */
export interface Word {
  readonly step: string
  readonly is: 'done' | 'refused' | 'undone' | 'not-undone'
}

/** A type of message that a process starts on or listens to. */
export interface ProcessBinding {
  readonly channel: Channel
  readonly type: string
  /** Undefined: it does not start one. */
  readonly state: ((message: AnyMessage) => unknown) | undefined
  readonly again: 'drop' | 'handle'
  readonly id: ((message: AnyMessage) => string) | undefined
  readonly correlation: ((message: AnyMessage) => string) | undefined
  readonly word: Word | undefined
  readonly of: ((message: AnyMessage) => string) | undefined
  readonly missing: 'retry' | 'drop' | 'dead'
  readonly handle: ((message: AnyMessage, process: AnyProcessContext) => unknown) | undefined
  readonly sends: readonly string[] | undefined
}

/** All that was written down of one version. */
export interface ProcessDefinition {
  readonly name: string
  readonly version: number
  readonly state: AnySchema
  readonly earlier: readonly ProcessDefinition[]
  readonly move: Readonly<Record<number, (state: any) => unknown>>
  readonly steps: ReadonlyMap<string, ProcessStep>
  readonly timeouts: ReadonlyMap<string, Handling>
  readonly bindings: readonly ProcessBinding[]
  readonly onError: ((error: FairleadError, process: AnyProcessContext) => unknown) | undefined
  readonly onUndone: ((reason: string, process: AnyProcessContext) => unknown) | undefined
}

/** What is behind a process, if it is one. Users have no business with it, so its type is not theirs. */
export function definitionOf(process: { readonly definition: object } | undefined): ProcessDefinition | undefined {
  const definition = process?.definition as ProcessDefinition | undefined
  return typeof definition?.name === 'string' ? definition : undefined
}
