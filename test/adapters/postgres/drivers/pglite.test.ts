// PostgreSQL in this process: no server needed.
import { PGlite } from '@electric-sql/pglite'
import { testStore } from 'fairlead/testing'
import { afterAll, describe, test } from 'vitest'
import { describeDriver } from './driver-suite.ts'
import { DRIVER_CASES, driverLabs } from './store-lab.ts'
import { embeddedSubjects, type Subject } from './subjects.ts'

const db = await PGlite.create()
afterAll(() => db.close())
const subjects = embeddedSubjects(db)

for (const subject of subjects) describeDriver(subject, () => ({ host: '', port: 0 }))

const first = subjects[0] as Subject
const { lab } = driverLabs(first, await first.open({ host: '', port: 0 }))
await testStore('over PGlite', lab, { describe, test, only: DRIVER_CASES })
