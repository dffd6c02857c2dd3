// Answers to requests that name themselves by an Idempotency-Key.
import type { Migration } from '../../../core/migration.ts'

export const idempotency: Migration = {
  number: 5,
  name: '005-idempotency',
  sql: `
create table @schema@.idempotency (
  -- digest of scope and key
  name bytea primary key,
  body_hash text not null,
  -- null: the operation has not said yet
  response bytea,
  reserved_at timestamptz not null default clock_timestamp()
);
create index idempotency_age on @schema@.idempotency (reserved_at);
comment on table @schema@.idempotency is 'fairlead: responses to requests with an Idempotency-Key';

create function @schema@.idempotency_reserve(p_name bytea, p_body_hash text) returns table (state text, answer bytea) language plpgsql
as $fairlead$
begin
  if not pg_try_advisory_xact_lock(hashtext('fairlead:idempotency:' || @schema_text@), hashtext(encode(p_name, 'hex'))) then
    return query select 'running', null::bytea;
    return;
  end if;
  insert into @schema@.idempotency (name, body_hash) values (p_name, p_body_hash) on conflict (name) do nothing;
  if found then
    return query select 'first', null::bytea;
    return;
  end if;
  return query select case when i.body_hash <> p_body_hash then 'mismatch' when i.response is null then 'running' else 'stored' end,
    case when i.body_hash = p_body_hash then i.response end
  from @schema@.idempotency i where i.name = p_name;
end $fairlead$;

create function @schema@.idempotency_purge(p_older_ms float8, p_limit int) returns int language plpgsql
as $fairlead$
declare
  v_count int;
begin
  delete from @schema@.idempotency i where i.ctid = any(array(
    select o.ctid from @schema@.idempotency o where o.reserved_at <= clock_timestamp() - p_older_ms * interval '1 millisecond'
    order by o.reserved_at limit p_limit for update skip locked));
  get diagnostics v_count = row_count;
  return v_count;
end $fairlead$;
`,
}
