// What is broken on purpose is caught where every worker goes through PgBouncer in transaction mode.
import { catchesAll } from '../kit/catches-all.ts'

catchesAll({ database: 'postgres', pooled: true }, ['skip-locked', 'no-fencing'])
