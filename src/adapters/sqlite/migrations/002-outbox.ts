// Messages that wait to be published, those that never will be, and the keys that wait for them.
import type { Migration } from '../../../core/migration.ts'

export const outbox: Migration = {
  number: 2,
  name: '002-outbox',
  sql: `
create table @outbox@ (
  -- Never given twice. One connection writes at a time, so its order is that of the commits.
  seq integer primary key autoincrement,
  part integer not null,
  -- a hash of channel and key, of which part is the low bits; null without a key
  lane integer,
  kind text not null,
  channel text not null,
  id text not null,
  key text,
  -- attributes, headers and the rest of the envelope, as JSON
  head text not null,
  body blob not null,
  -- failed ones so far
  attempts integer not null default 0,
  -- not to be read before, milliseconds since the machine was started; null: at once
  until integer,
  wait integer,
  added_at integer not null
) strict;

-- What is to be read is found, and counted, without the bodies: many rows may wait behind one that is dead.
create index @outbox:scan@ on @outbox@ (seq, part, lane, until);

-- Those that wait are few: found where the machine was started anew, and all of them must be looked at.
create index @outbox:until@ on @outbox@ (until) where until is not null;

-- Rows for which later ones of their key wait: one that has failed (until it is tried again), or a dead one (no until).
create table @block@ (
  seq integer primary key,
  lane integer not null,
  until integer,
  wait integer
) strict;

create index @block:lane@ on @block@ (lane);

create table @dead@ (
  seq integer primary key,
  part integer not null,
  lane integer,
  kind text not null,
  channel text not null,
  id text not null,
  key text,
  head text not null,
  body blob not null,
  attempts integer not null,
  added_at integer not null,
  reason text not null,
  died_at integer not null
) strict;

create index @dead:died@ on @dead@ (died_at, seq);

-- Published rows, where the store keeps them.
create table @archive@ (
  n integer primary key,
  seq integer not null,
  kind text not null,
  channel text not null,
  id text not null,
  key text,
  head text not null,
  body blob not null,
  attempts integer not null,
  added_at integer not null,
  published_at integer not null
) strict;
`,
}
