// States of processes and of requests that are waited for.
import type { Migration } from '../../../core/migration.ts'

export const states: Migration = {
  number: 4,
  name: '004-states',
  sql: `
create table @state@ (
  kind text not null,
  id text not null,
  version integer not null,
  state text not null,
  done integer not null default 0,
  -- null: never
  wake_at integer,
  primary key (kind, id)
) strict, without rowid;

create index @state:wake@ on @state@ (kind, wake_at) where wake_at is not null;

create table @correlation@ (
  kind text not null,
  correlation text not null,
  id text not null,
  primary key (kind, correlation, id)
) strict, without rowid;

create index @correlation:id@ on @correlation@ (kind, id);
`,
}
