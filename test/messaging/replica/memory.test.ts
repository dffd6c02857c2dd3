// Replicas on the memory store and the memory transport.
import { memoryLab } from './memory-lab.ts'
import { replicaCases } from './replica-cases.ts'
import { revisionCases } from './revision-cases.ts'

replicaCases('in memory', async () => memoryLab())
revisionCases('in memory', async () => memoryLab())
