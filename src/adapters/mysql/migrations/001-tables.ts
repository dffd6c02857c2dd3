// Step 1: all tables of a store. Each statement may be run again, because DDL commits by itself: a crash in the middle leaves some of them done.
// Times are milliseconds since 1970, so that no session's time zone touches them; beside one that is to come stands how far away it was (isAhead in time.ts). Texts compare by their bytes; where case, blanks at the end or length
// matter to a lookup, a digest is compared instead.
import type { Migration } from '../../../core/migration.ts'

const TABLE = 'engine=InnoDB row_format=dynamic default character set utf8mb4 collate utf8mb4_bin'

/** Rows of the outbox, of the dead and of the archive have these in common. */
const MESSAGE = `
  partition_no tinyint not null,
  lane binary(16) null comment 'digest of channel and key; null without a key',
  channel_kind varchar(16) not null,
  channel_name mediumtext not null,
  message_id mediumtext not null,
  message_key mediumtext null,
  head longtext not null,
  body longblob not null,
  attempts int not null default 0,
  created_ms bigint not null`

const digits = Array.from({ length: 32 }, (_, n) => (n === 0 ? 'select 0 as n' : `select ${n}`)).join(' union all ')

export const tables: Migration = {
  number: 1,
  name: '001-tables',
  sql: `
create table if not exists @owner@ (
  one tinyint not null primary key,
  owner mediumtext not null
) ${TABLE};

create table if not exists @bucket@ (
  bucket smallint not null primary key,
  turn tinyint not null default 0 comment 'set to itself by those who append, which locks the row: so order by sequence is order of commit'
) ${TABLE};

insert ignore into @bucket@ (bucket) select high.n * 32 + low.n from (${digits}) high cross join (${digits}) low;

create table if not exists @outbox@ (
  sequence bigint not null auto_increment primary key,${MESSAGE},
  due_ms bigint not null default 0 comment 'not before',
  wait_ms bigint not null default 0 comment 'how long that was to be, when it was noted',
  key by_partition (partition_no, sequence, due_ms, wait_ms, lane)
) ${TABLE};

create table if not exists @outbox_dead@ (
  sequence bigint not null primary key,${MESSAGE},
  reason mediumtext not null,
  blocks_key tinyint not null,
  died_ms bigint not null,
  key by_age (died_ms)
) ${TABLE};

create table if not exists @outbox_archive@ (
  sequence bigint not null primary key,${MESSAGE},
  published_ms bigint not null,
  key by_age (published_ms)
) ${TABLE};

create table if not exists @outbox_block@ (
  sequence bigint not null primary key,
  lane binary(16) not null comment 'later rows of it wait',
  until_ms bigint null comment 'null: until somebody decides',
  wait_ms bigint not null default 0,
  key by_lane (lane, sequence, until_ms, wait_ms)
) ${TABLE};

create table if not exists @outbox_partition@ (
  partition_no tinyint not null primary key,
  epoch bigint not null default 0,
  relay binary(16) null,
  until_ms bigint not null default 0,
  wait_ms bigint not null default 0
) ${TABLE};

insert ignore into @outbox_partition@ (partition_no) select high.n * 32 + low.n from (select 0 as n union all select 1) high cross join (${digits}) low;

create table if not exists @outbox_relay@ (
  relay binary(16) not null primary key,
  name mediumtext not null,
  until_ms bigint not null,
  wait_ms bigint not null
) ${TABLE};

create table if not exists @inbox@ (
  digest binary(32) not null primary key comment 'of consumer, source and id',
  consumer mediumtext not null,
  message_id mediumtext not null,
  claimed_ms bigint not null,
  key by_age (claimed_ms)
) ${TABLE};

create table if not exists @inbox_attempt@ (
  digest binary(32) not null primary key,
  started int not null,
  at_ms bigint not null,
  key by_age (at_ms)
) ${TABLE};

create table if not exists @inbox_parked@ (
  digest binary(32) not null primary key comment 'of consumer and key',
  until_ms bigint not null,
  wait_ms bigint not null,
  key by_end (until_ms)
) ${TABLE};

create table if not exists @idempotency@ (
  digest binary(32) not null primary key comment 'of scope and key',
  scope mediumtext not null,
  request_key mediumtext not null,
  body_hash mediumtext not null,
  response longblob null,
  at_ms bigint not null,
  key by_age (at_ms)
) ${TABLE};

create table if not exists @state@ (
  digest binary(32) not null primary key comment 'of kind and id',
  kind_digest binary(16) not null,
  kind mediumtext not null,
  id mediumtext not null,
  version bigint not null,
  state longtext not null,
  wake_ms bigint null,
  done tinyint not null,
  key by_wake (kind_digest, wake_ms),
  key by_id (kind_digest, id(100))
) ${TABLE};

create table if not exists @state_correlation@ (
  state binary(32) not null,
  correlation binary(32) not null comment 'digest of kind and correlation',
  primary key (state, correlation),
  key by_correlation (correlation)
) ${TABLE};

create table if not exists @lane@ (
  consumer binary(16) not null,
  lane binary(16) not null comment 'digest; all zero is the row that those who lease lock',
  consumer_name mediumtext not null,
  lane_name mediumtext not null,
  epoch bigint not null default 0,
  member binary(16) null,
  until_ms bigint not null default 0,
  wait_ms bigint not null default 0,
  position longtext null,
  saved_ms bigint null,
  primary key (consumer, lane)
) ${TABLE};

create table if not exists @lane_member@ (
  consumer binary(16) not null,
  member binary(16) not null,
  name mediumtext not null,
  until_ms bigint not null,
  wait_ms bigint not null,
  primary key (consumer, member)
) ${TABLE};`,
}
