// Processes over RabbitMQ: the queues on the real broker, the rows in a file of SQLite.
import { fileLab } from '../../adapters/sqlite/file-lab.ts'
import { labOf } from '../../messaging/lab.ts'
import { processCases } from '../../messaging/process/process-cases.ts'
import { sharedLab } from './shared-lab.ts'

processCases('over RabbitMQ', () => labOf(fileLab(), sharedLab(), { patienceMs: 60_000 }), { concurrent: true })
