// Replicas in a SQLite file.
import { replicaCases } from './replica-cases.ts'
import { revisionCases } from './revision-cases.ts'
import { sqliteLab } from './sqlite-lab.ts'

replicaCases('on SQLite', sqliteLab)
revisionCases('on SQLite', sqliteLab)
