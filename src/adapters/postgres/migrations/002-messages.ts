// Queues and topics (the transport): messages, who waits for them, who holds them, and what was given up.
//
// A message is written once (`message`). For each place that is to get it, a queue or a group, there is a narrow row that moves: from `ready`
// to `taken` when it is handed out or has to wait for its time, and away when it is settled. Rows are inserted and deleted, never changed on the way
// out: what is ready stands alone in one index in the order of delivery, so that a claim meets neither held nor delayed ones,
// and a body is never copied.

import type { Migration } from '../../../core/migration.ts'
import { messageCare } from './002/care.ts'
import { messagePlaces } from './002/places.ts'
import { messageTables } from './002/tables.ts'
import { messageTurns } from './002/turns.ts'

export const messages: Migration = {
  number: 2,
  name: '002-messages',
  sql: [messageTables, messageTurns, messagePlaces, messageCare].join('\n'),
}
