// Processes on the memory store and the memory transport.
import { memoryLab } from '../memory-lab.ts'
import { processCases } from './process-cases.ts'

processCases('in memory', async () => memoryLab())
