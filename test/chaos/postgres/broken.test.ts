// What is broken on purpose is caught on PostgreSQL, by workers of which every second one goes through PgBouncer.
import { catchesAll } from '../kit/catches-all.ts'

catchesAll({ database: 'postgres' }, ['lock-after-sequence', 'mark-before-publish'])
