// Processes in a SQLite file that several processes share, each with a handle of its own: rows, outbox and inbox; the queues in memory.
import { labOf } from '../../messaging/lab.ts'
import { memoryQueues } from '../../messaging/memory-lab.ts'
import { processCases } from '../../messaging/process/process-cases.ts'
import { fileLab } from './file-lab.ts'

processCases('on SQLite', () => labOf(fileLab(), memoryQueues()), { concurrent: true })
