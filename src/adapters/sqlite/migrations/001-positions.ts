// Positions that consumers keep themselves, who may move them, and who relays which partition.
import type { Migration } from '../../../core/migration.ts'

export const positions: Migration = {
  number: 1,
  name: '001-positions',
  sql: `
create table @lane@ (
  -- empty: the outbox, whose lanes are its partitions
  consumer text not null,
  lane text not null,
  -- null: nobody holds it
  member text,
  -- rises by one with each new holder; what an older one writes is refused
  epoch integer not null default 0,
  -- milliseconds since the machine was started; with wait, which it was to last, to see that this was another start
  until integer not null default 0,
  wait integer not null default 0,
  position text,
  -- milliseconds since 1970, as all that ends in _at
  saved_at integer,
  primary key (consumer, lane)
) strict, without rowid;

-- Who shares the lanes of a consumer, those included who got none.
create table @lane_member@ (
  consumer text not null,
  member text not null,
  until integer not null,
  wait integer not null,
  primary key (consumer, member)
) strict, without rowid;
`,
}
