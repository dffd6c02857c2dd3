// A step of a process: the claim of its message and its state are read at once, and what has not changed is not written.
import type { Migration } from '../../../core/migration.ts'

export const steps: Migration = {
  number: 8,
  name: '008-steps',
  sql: `
-- The claim of a message, and the state that it is about, by its name or by what it waits for. Of a message that is not the first nothing is read.
create function @schema@.state_open(
  p_message bytea, p_kind text, p_name bytea, p_correlation bytea, out answer int, out id text, out version int, out state text
) language plpgsql
as $fairlead$
begin
  answer := (@schema@.inbox_claim(array[p_message]))[1];
  if answer <> 1 then return; end if;
  if p_correlation is null then
    select s.id, s.version, s.state into id, version, state from @schema@.state s where s.kind = p_kind and s.name = p_name;
  else
    select s.id, s.version, s.state into id, version, state
    from @schema@.state_correlation c join @schema@.state s on s.kind = c.kind and s.name = c.name
    where c.kind = p_kind and c.correlation = p_correlation order by c.name limit 1;
  end if;
end $fairlead$;

-- Compare and set; 0 creates. Without p_correlations they stay as they are.
create or replace function @schema@.state_save(
  p_kind text, p_name bytea, p_id text, p_expected int, p_state text, p_wake_at bigint, p_correlations bytea[], p_done boolean
) returns boolean language plpgsql
as $fairlead$
begin
  if p_expected = 0 then
    insert into @schema@.state (kind, name, id, version, state, wake_at, done) values (p_kind, p_name, p_id, 1, p_state, p_wake_at, p_done)
      on conflict (kind, name) do nothing;
  else
    update @schema@.state s set version = s.version + 1, state = p_state, wake_at = p_wake_at, done = p_done, changed_at = clock_timestamp()
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
`,
}
