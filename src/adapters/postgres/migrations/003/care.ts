// What people ask of the outbox: rows given up for good, dead ones back to where they were, old ones away.
export const outboxCare: string = `
-- Moves rows that wait behind a dead one of their key out of the way of those who read, among the first p_scan. Answers how many.
create function @schema@.outbox_tuck(p_scan int) returns int language plpgsql
as $fairlead$
declare
  v_count int;
begin
  -- A stricter isolation would not see keys that were let go meanwhile.
  if current_setting('transaction_isolation') <> 'read committed'
    or not exists (select from @schema@.outbox_wait w where w.until = 'infinity') then return 0; end if;
  perform from @schema@.outbox_move m for update skip locked;
  if not found then return 0; end if;
  with behind as (
    select o.seq from (select f.seq, f.digest from @schema@.outbox f order by f.seq limit p_scan) o
    where o.digest in (select w.digest from @schema@.outbox_wait w where w.until = 'infinity' and w.digest is not null)
      and exists (select from @schema@.outbox_wait w where w.digest = o.digest and w.seq < o.seq and w.blocks and w.until = 'infinity')
      and not exists (select from @schema@.outbox_wait w where w.seq = o.seq)
  ), gone as (
    delete from @schema@.outbox o where o.seq = any(array(select behind.seq from behind)) returning o.*
  )
  insert into @schema@.outbox_behind (seq, part, digest, written_at, channel, id, key, head, body)
  select g.seq, g.part, g.digest, g.written_at, g.channel, g.id, g.key, g.head, g.body from gone g;
  get diagnostics v_count = row_count;
  if v_count > 0 then update @schema@.outbox_move set moves = moves + 1; end if;
  return v_count;
end $fairlead$;

-- Puts back what no dead row keeps waiting any more. The caller has locked outbox_move before it let the keys go.
create function @schema@.outbox_untuck(p_digests bigint[]) returns void language plpgsql
as $fairlead$
begin
  if not exists (select from @schema@.outbox_behind) then return; end if;
  with back as (
    delete from @schema@.outbox_behind b where b.digest = any(p_digests)
      and not exists (select from @schema@.outbox_wait w where w.digest = b.digest and w.seq < b.seq and w.blocks and w.until = 'infinity')
    returning b.*
  )
  insert into @schema@.outbox (seq, part, digest, written_at, channel, id, key, head, body)
  select b.seq, b.part, b.digest, b.written_at, b.channel, b.id, b.key, b.head, b.body from back b;
end $fairlead$;

-- Gives rows up for good, dead ones and pending ones; their keys go on.
create function @schema@.outbox_skip(p_ids text[]) returns int language plpgsql
as $fairlead$
declare
  v_dead bigint[];
  v_pending bigint[];
  v_behind bigint[];
  v_freed bigint[];
begin
  perform from @schema@.outbox_move m for update;
  with gone as (
    delete from @schema@.outbox_dead d
    where hashtextextended(d.id, 0) = any(array(select hashtextextended(u.id, 0) from unnest(p_ids) u(id))) and d.id = any(p_ids)
    returning d.seq
  )
  select array_agg(gone.seq) into v_dead from gone;
  with gone as (delete from @schema@.outbox o where o.id = any(p_ids) returning o.seq)
  select array_agg(gone.seq) into v_pending from gone;
  with gone as (delete from @schema@.outbox_behind b where b.id = any(p_ids) returning b.seq)
  select array_agg(gone.seq) into v_behind from gone;
  with freed as (
    delete from @schema@.outbox_wait w where w.seq = any(v_dead) or w.seq = any(v_pending) returning w.digest
  )
  select array_agg(distinct freed.digest) into v_freed from freed;
  perform @schema@.outbox_untuck(v_freed);
  return coalesce(cardinality(v_dead), 0) + coalesce(cardinality(v_pending), 0) + coalesce(cardinality(v_behind), 0);
end $fairlead$;

-- Puts dead rows back at their old place; their keys go on. Where p_ids is null, the first p_limit of those after p_after, and of all of them.
create function @schema@.outbox_redrive(p_ids text[], p_after bigint, p_limit int) returns table (redriven int, last_seq bigint) language plpgsql
as $fairlead$
declare
  v_freed bigint[];
begin
  perform from @schema@.outbox_move m for update;
  with gone as (
    delete from @schema@.outbox_dead d
    where d.seq = any(array(select a.seq from @schema@.outbox_dead a where p_ids is null and a.seq > p_after order by a.seq limit p_limit))
      or hashtextextended(d.id, 0) = any(array(select hashtextextended(u.id, 0) from unnest(p_ids) u(id))) and d.id = any(p_ids)
    returning d.*
  ), unblocked as (
    delete from @schema@.outbox_wait w using gone where w.seq = gone.seq
  ), back as (
    insert into @schema@.outbox (seq, part, digest, written_at, channel, id, key, head, body)
    select g.seq, g.part, g.digest, g.written_at, g.channel, g.id, g.key, g.head, g.body from gone g
  )
  select count(*), max(g.seq), array_agg(distinct g.digest) into redriven, last_seq, v_freed from gone g;
  perform @schema@.outbox_untuck(v_freed);
  return next;
end $fairlead$;

-- Deletes what is over, oldest first.
create function @schema@.outbox_purge(p_older_ms float8, p_limit int, p_dead boolean) returns int language plpgsql
as $fairlead$
declare
  v_count int;
  v_freed bigint[];
begin
  if p_dead then
    perform from @schema@.outbox_move m for update;
    with gone as (
      delete from @schema@.outbox_dead d where d.seq = any(array(
        select o.seq from @schema@.outbox_dead o where o.died_at <= clock_timestamp() - p_older_ms * interval '1 millisecond'
        order by o.died_at, o.seq limit p_limit for update skip locked))
      returning d.seq, d.digest
    ), unblocked as (
      delete from @schema@.outbox_wait w using gone where w.seq = gone.seq
    )
    select count(*), array_agg(distinct gone.digest) into v_count, v_freed from gone;
    perform @schema@.outbox_untuck(v_freed);
  else
    delete from @schema@.outbox_archive a where a.ctid = any(array(
      select o.ctid from @schema@.outbox_archive o where o.published_at <= clock_timestamp() - p_older_ms * interval '1 millisecond'
      order by o.published_at limit p_limit for update skip locked));
    get diagnostics v_count = row_count;
  end if;
  return v_count;
end $fairlead$;
`
