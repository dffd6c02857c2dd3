// Processes by HTTP push: messages go from process to process, each answered once it is handled; the rows in memory.
import { labOf } from '../../messaging/lab.ts'
import { memoryRows } from '../../messaging/memory-lab.ts'
import { processCases } from '../../messaging/process/process-cases.ts'
import { subscribedLab } from './subscribed-lab.ts'

processCases('by HTTP push', () => labOf(memoryRows(), subscribedLab()), { concurrent: true })
