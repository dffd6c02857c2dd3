// States that are done can be deleted after a while: since when they are is kept.
import type { Migration } from '../../../core/migration.ts'

export const doneStates: Migration = {
  number: 5,
  name: '005-done-states',
  sql: `
-- milliseconds since 1970, null while it is not done
alter table @state@ add column done_at integer;

update @state@ set done_at = unixepoch() * 1000 where done = 1;

create index @state:done@ on @state@ (kind, done_at) where done = 1;
`,
}
