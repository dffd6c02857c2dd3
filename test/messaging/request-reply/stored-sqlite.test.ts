// Stored requests in a SQLite file that several processes share, each with a handle of its own; the queues in memory.
import { fileLab } from '../../adapters/sqlite/file-lab.ts'
import { labOf } from '../lab.ts'
import { memoryQueues } from '../memory-lab.ts'
import { storedCases } from './stored-cases.ts'

storedCases('on SQLite', () => labOf(fileLab(), memoryQueues()), { concurrent: true })
