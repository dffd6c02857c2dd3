// Stored requests by HTTP push: messages go from process to process, each answered once it is handled; the rows in memory.
import { labOf } from '../../messaging/lab.ts'
import { memoryRows } from '../../messaging/memory-lab.ts'
import { storedCases } from '../../messaging/request-reply/stored-cases.ts'
import { subscribedLab } from './subscribed-lab.ts'

storedCases('by HTTP push', () => labOf(memoryRows(), subscribedLab()), { concurrent: true })
