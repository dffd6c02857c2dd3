// The outbox: rows that are there until they were published, the leases of relays on them, and what went wrong with some.
//
// A row is inserted and deleted, never changed: marking it would cost several times as much. What fails, waits or blocks a key is said in a narrow table beside.

import type { Migration } from '../../../core/migration.ts'
import { outboxAppend } from './003/append.ts'
import { outboxCare } from './003/care.ts'
import { outboxTables } from './003/tables.ts'
import { outboxTurns } from './003/turns.ts'

export const outbox: Migration = {
  number: 3,
  name: '003-outbox',
  sql: [outboxTables, outboxAppend, outboxTurns, outboxCare].join('\n'),
}
