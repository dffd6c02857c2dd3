// States that are done can be deleted after a while: since when they are is kept.
import type { Migration } from '../../../core/migration.ts'

export const doneStates: Migration = {
  number: 10,
  name: '010-done-states',
  sql: `
-- What is done by now counts from here on. A default that is the same for all rows is kept beside the table, and none of them is written.
alter table @schema@.state add column done_at timestamptz default statement_timestamp();
alter table @schema@.state alter column done_at set default clock_timestamp();
comment on column @schema@.state.done_at is 'since when it is done; without meaning while it is not';
create index state_done on @schema@.state (kind, done_at) where done;

-- Compare and set; 0 creates. Without p_correlations they stay as they are. What was done already is done since then.
create or replace function @schema@.state_save(
  p_kind text, p_name bytea, p_id text, p_expected int, p_state text, p_wake_at bigint, p_correlations bytea[], p_done boolean
) returns boolean language plpgsql
as $fairlead$
begin
  if p_expected = 0 then
    insert into @schema@.state (kind, name, id, version, state, wake_at, done, done_at)
      values (p_kind, p_name, p_id, 1, p_state, p_wake_at, p_done, case when p_done then clock_timestamp() end)
      on conflict (kind, name) do nothing;
  else
    update @schema@.state s set version = s.version + 1, state = p_state, wake_at = p_wake_at, done = p_done,
        done_at = case when p_done then case when s.done then s.done_at else clock_timestamp() end end, changed_at = clock_timestamp()
      where s.kind = p_kind and s.name = p_name and s.version = p_expected;
  end if;
  if not found then return false; end if;
  if p_correlations is null then return true; end if;
  if p_expected > 0 then
    delete from @schema@.state_correlation c where c.kind = p_kind and c.name = p_name and c.correlation <> all(p_correlations);
  end if;
  if cardinality(p_correlations) > 0 then
    insert into @schema@.state_correlation (kind, correlation, name) select p_kind, u.correlation, p_name from unnest(p_correlations) u(correlation)
      on conflict do nothing;
  end if;
  return true;
end $fairlead$;

-- They wait for nothing any more, so that there are no correlations of theirs. What somebody else is at is left out.
create function @schema@.state_purge(p_kind text, p_older_ms float8, p_limit int) returns int language plpgsql
as $fairlead$
declare
  v_before timestamptz := clock_timestamp() - p_older_ms * interval '1 millisecond';
  v_count int;
begin
  delete from @schema@.state s where s.ctid = any(array(
    select o.ctid from @schema@.state o where o.kind = p_kind and o.done and o.done_at <= v_before
    order by o.done_at limit p_limit for update skip locked));
  get diagnostics v_count = row_count;
  return v_count;
end $fairlead$;
`,
}
