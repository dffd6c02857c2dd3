// Stored requests over Kafka, by kafkajs: the queues on the real broker, the rows in a file of SQLite.
import { fileLab } from '../../adapters/sqlite/file-lab.ts'
import { labOf } from '../../messaging/lab.ts'
import { storedCases } from '../../messaging/request-reply/stored-cases.ts'
import { sharedLab } from './shared-lab.ts'

storedCases('over Kafka', () => labOf(fileLab(), sharedLab(), { patienceMs: 60_000 }), { concurrent: true })
