// What users may say of the consumers that others make for them: a stored requester, the runner of a process.
import { SEAMS, type Seams } from '../policies/seams.ts'
import type { ConsumerCommonOptions } from './consumer/types.ts'
import type { InboxOptions } from './inbox/types.ts'
import type { MessageTypes } from './types.ts'

/** Options that are handed on to consumers with an inbox, with the defaults that those have. */
export interface InnerConsumerOptions<Tx>
  extends Seams,
    Pick<
      ConsumerCommonOptions<MessageTypes>,
      | 'concurrency'
      | 'prefetch'
      | 'prepare'
      | 'handlerTimeoutMs'
      | 'retries'
      | 'onFailure'
      | 'maxDeliveries'
      | 'deadLetter'
      | 'throttle'
    >,
    Pick<InboxOptions<Tx>, 'redriveWithinMs' | 'purgeEveryMs'> {}

/** Their names. */
export const INNER_CONSUMER: readonly (keyof InnerConsumerOptions<unknown>)[] = [
  'concurrency',
  'prefetch',
  'prepare',
  'handlerTimeoutMs',
  'retries',
  'onFailure',
  'maxDeliveries',
  'deadLetter',
  'throttle',
  'redriveWithinMs',
  'purgeEveryMs',
  ...SEAMS,
]

/** Those of the names that were given. */
export function handedOn<K extends string>(
  options: { readonly [N in K]?: unknown },
  names: readonly K[],
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(names.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]]])))
}
