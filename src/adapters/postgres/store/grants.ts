// The rights that a service needs at run time, as SQL for whoever owns the tables: what migrates and what serves can be two roles.
import { invalidOption, knownOptions } from '../../../core/options.ts'
import { type SchemaOptions, schemaOf } from '../migrate.ts'
import { identifier } from '../names.ts'

/** Whose rights, to what. */
export interface GrantOptions extends SchemaOptions {
  /** A role that exists. */
  readonly role: string
  /**
   * `everything` that fairlead does at run time: publish, relay, consume, care; queues and topics among it. `publish`: only write to the outbox, as
   * programs in other languages do. Default `everything`.
   */
  readonly to?: 'everything' | 'publish' | undefined
}

// Nobody truncates, refers, sets triggers, or writes where only migrations do.
const RIGHTS: readonly (readonly [rights: string, tables: string])[] = [
  ['select', 'migration, owner'],
  [
    'select, insert, update, delete',
    'lane, lane_member, channel, place, message, ready, taken, dead, outbox_wait, outbox_behind, outbox_dead, outbox_archive, outbox_relay, inbox, inbox_attempt, inbox_parked, idempotency, state, state_correlation',
  ],
  ['select, insert, delete', 'outbox'],
  ['select, update', 'outbox_lease, outbox_move'],
]

const PUBLISH: readonly (readonly [rights: string, tables: string])[] = [
  ['insert', 'outbox'],
  ['select', 'owner'],
]

/**
 * SQL that gives a role what it needs of a migrated schema, and no more: nothing that creates, changes or drops. Run it as the owner of the tables, and again after each migration.
 * @throws FairleadError `INVALID_OPTIONS` for names that are none
 * @example console.log(printGrants({ schema: 'fairlead', role: 'shop' }))
 */
export function printGrants(options: GrantOptions): string {
  knownOptions('printGrants', options, ['schema', 'role', 'to'])
  const { to = 'everything' } = options
  if (to !== 'everything' && to !== 'publish') throw invalidOption('to', to, "give 'everything' or 'publish'")
  const at = identifier('schema', schemaOf(options.schema))
  const role = identifier('role', options.role)
  const lines = [`grant usage on schema ${at} to ${role};`]
  for (const [rights, tables] of to === 'publish' ? PUBLISH : RIGHTS)
    lines.push(`grant ${rights} on ${tables.replaceAll(/\w+/g, (table) => `${at}.${table}`)} to ${role};`)
  // Everybody may, unless that was taken away.
  lines.push(`grant execute on all functions in schema ${at} to ${role};`)
  return `${lines.join('\n')}\n`
}
