// The inbox: which messages a consumer has applied; how often they were begun; and which keys are set aside.
//
// A message is named by the first bytes of its id and a digest of consumer, source and id: ids and sources may be longer than an index can hold, and
// ids that begin with a time (UUID version 7) keep the index warm, where a digest alone would touch a page anywhere in it.

import type { Migration } from '../../../core/migration.ts'

export const inbox: Migration = {
  number: 4,
  name: '004-inbox',
  sql: `
create table @schema@.inbox (
  name bytea primary key,
  applied_at timestamptz not null default clock_timestamp()
);
create index inbox_age on @schema@.inbox (applied_at);
comment on table @schema@.inbox is 'fairlead: which messages were applied, for as long as they may come again';

create table @schema@.inbox_attempt (
  name bytea primary key,
  open int not null,
  begun_at timestamptz not null
) with (fillfactor = 50);
comment on table @schema@.inbox_attempt is 'fairlead: attempts that were begun and did not end';

create table @schema@.inbox_parked (
  name bytea primary key,
  until timestamptz not null,
  -- for how long it was set aside: where more than that is left, the clock was set back since, and it is over
  wait interval not null
);
comment on table @schema@.inbox_parked is 'fairlead: keys set aside by a consumer';

-- For each message whether it is the first time (1), was applied before (0), or is being applied by another transaction now (-1). Nobody waits:
-- who has the lock of a name is the only one to insert it, until the transaction ends.
create function @schema@.inbox_claim(p_names bytea[]) returns int[] language plpgsql
as $fairlead$
declare
  v_answers int[] := '{}';
  v_name bytea;
begin
  foreach v_name in array p_names loop
    if pg_try_advisory_xact_lock(hashtext('fairlead:inbox:' || @schema_text@), hashtext(encode(v_name, 'hex'))) then
      insert into @schema@.inbox (name) values (v_name) on conflict (name) do nothing;
      v_answers := v_answers || case when found then 1 else 0 end;
    else
      v_answers := v_answers || -1;
    end if;
  end loop;
  return v_answers;
end $fairlead$;

create function @schema@.inbox_purge(p_older_ms float8, p_limit int) returns int language plpgsql
as $fairlead$
declare
  v_count int;
begin
  delete from @schema@.inbox i where i.ctid = any(array(
    select o.ctid from @schema@.inbox o where o.applied_at <= clock_timestamp() - p_older_ms * interval '1 millisecond'
    order by o.applied_at limit p_limit for update skip locked));
  get diagnostics v_count = row_count;
  -- There are few of these two, and no index on their times, which change with each attempt.
  delete from @schema@.inbox_attempt a where a.ctid = any(array(
    select o.ctid from @schema@.inbox_attempt o where o.begun_at <= clock_timestamp() - p_older_ms * interval '1 millisecond'
    limit p_limit for update skip locked));
  delete from @schema@.inbox_parked p where p.ctid = any(array(
    select o.ctid from @schema@.inbox_parked o
    where o.until <= clock_timestamp() or o.until > clock_timestamp() + o.wait + interval '1 second'
    limit p_limit for update skip locked));
  return v_count;
end $fairlead$;
`,
}
