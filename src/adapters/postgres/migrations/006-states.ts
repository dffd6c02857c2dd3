// States of processes and stored requests: compared and set, found by what they wait for.
import type { Migration } from '../../../core/migration.ts'

export const states: Migration = {
  number: 6,
  name: '006-states',
  sql: `
create table @schema@.state (
  kind text not null,
  -- digest of the id, which may be longer than an index can hold
  name bytea not null,
  id text not null,
  version int not null,
  -- JSON
  state text not null,
  -- milliseconds since 1970
  wake_at bigint,
  done boolean not null default false,
  changed_at timestamptz not null default clock_timestamp(),
  primary key (kind, name)
);
create index state_wake on @schema@.state (kind, wake_at) where wake_at is not null;
create index state_id on @schema@.state (kind, (left(id, 200) collate "C"));
comment on table @schema@.state is 'fairlead: states of processes and stored requests';

create table @schema@.state_correlation (
  kind text not null,
  -- digest of what is waited for
  correlation bytea not null,
  name bytea not null,
  primary key (kind, correlation, name)
);
create index state_correlation_of on @schema@.state_correlation (kind, name);
comment on table @schema@.state_correlation is 'fairlead: what states wait for';

-- Compare and set; 0 creates.
create function @schema@.state_save(
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
  delete from @schema@.state_correlation c where c.kind = p_kind and c.name = p_name and c.correlation <> all(p_correlations);
  insert into @schema@.state_correlation (kind, correlation, name) select p_kind, u.correlation, p_name from unnest(p_correlations) u(correlation)
    on conflict do nothing;
  return true;
end $fairlead$;
`,
}
