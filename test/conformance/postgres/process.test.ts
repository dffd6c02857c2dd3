// Processes on PostgreSQL: rows, outbox, inbox and queues in one schema, and several processes' views of it.
import { labOf } from '../../messaging/lab.ts'
import { processCases } from '../../messaging/process/process-cases.ts'
import { oneSchemaLab } from './one-schema-lab.ts'

processCases('on PostgreSQL', async () => labOf(...(await oneSchemaLab()), { patienceMs: 60_000 }), {
  concurrent: true,
})
