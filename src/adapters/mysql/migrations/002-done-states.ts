// Step 2: states that are done can be deleted after a while: since when they are is kept. Each statement may be run again.
// Not every server knows `add column if not exists`: what is to be run is looked up, and is nothing where the column is there. Column and key come in one statement, so that there are both or none.
// What is done already gets its date from the first purge that finds it without one: one statement over all of it could take longer than anybody waits.
import type { Migration } from '../../../core/migration.ts'

export const doneStates: Migration = {
  number: 2,
  name: '002-done-states',
  sql: `
set @fairlead_step = (select if(count(*) > 0, 'do 0', concat('alter table ', @state:text@,
  ' add column done_ms bigint null comment ''since when it is done'', add key by_done (kind_digest, done, done_ms)'))
  from information_schema.columns where @state:here@ and column_name = 'done_ms');

prepare fairlead_step from @fairlead_step;

execute fairlead_step;

deallocate prepare fairlead_step;

set @fairlead_step = null;`,
}
