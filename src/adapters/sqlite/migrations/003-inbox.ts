// Messages that were applied, attempts that outlive their transaction, keys set aside, and answers to requests that must not be done twice.
import type { Migration } from '../../../core/migration.ts'

export const inbox: Migration = {
  number: 3,
  name: '003-inbox',
  sql: `
-- In the order in which they came, so that the oldest are found without an index.
create table @inbox@ (
  n integer primary key,
  consumer text not null,
  source text not null,
  id text not null,
  at integer not null,
  unique (consumer, source, id)
) strict;

create table @attempt@ (
  n integer primary key,
  consumer text not null,
  source text not null,
  id text not null,
  -- started without an end
  open integer not null,
  at integer not null,
  unique (consumer, source, id)
) strict;

create table @parked@ (
  consumer text not null,
  key text not null,
  -- milliseconds since the machine was started
  until integer not null,
  wait integer not null,
  primary key (consumer, key)
) strict, without rowid;

create table @idempotency@ (
  n integer primary key,
  scope text not null,
  key text not null,
  body_hash text not null,
  -- null: not there yet
  response blob,
  at integer not null,
  unique (scope, key)
) strict;
`,
}
