// Processes in MariaDB: rows, outbox and inbox on the real server; the queues in memory.
import { labOf } from '../../messaging/lab.ts'
import { memoryQueues } from '../../messaging/memory-lab.ts'
import { processCases } from '../../messaging/process/process-cases.ts'
import { mariadbAddress } from './mariadb-lab.ts'
import { storeLab } from './store-lab.ts'

processCases('in MariaDB', () => labOf(storeLab(mariadbAddress()), memoryQueues(), { patienceMs: 60_000 }), {
  concurrent: true,
})
