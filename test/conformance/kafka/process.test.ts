// Processes over Kafka, by @platformatic/kafka: the queues on the real broker, the rows in a file of SQLite.
import { fileLab } from '../../adapters/sqlite/file-lab.ts'
import { labOf } from '../../messaging/lab.ts'
import { processCases } from '../../messaging/process/process-cases.ts'
import { sharedLab } from './shared-lab.ts'

processCases('over Kafka', () => labOf(fileLab(), sharedLab('@platformatic/kafka'), { patienceMs: 60_000 }), {
  concurrent: true,
})
