// Which relay publishes what, and what became of it.
export const outboxTurns: string = `
-- A fair share of the parts for this relay: what it holds up to its share it keeps, the rest it gives up, and what is free or has run out it takes, with a new epoch.
create function @schema@.outbox_lease_parts(p_relay text, p_for_ms float8) returns table (leased int, leased_epoch bigint) language plpgsql
as $fairlead$
declare
  v_now timestamptz;
  v_wait interval := p_for_ms * interval '1 millisecond';
  v_until timestamptz;
  v_live int;
  v_place int;
  v_share int;
  v_kept int;
begin
  -- One at a time, in the order in which settlements take them as well; and only then the time is read.
  perform from @schema@.outbox_lease l order by l.part for no key update;
  v_now := clock_timestamp();
  v_until := v_now + v_wait;
  insert into @schema@.outbox_relay as r (relay, until, wait) values (p_relay, v_until, v_wait)
    on conflict (relay) do update set until = excluded.until, wait = excluded.wait;
  -- What ends later than it can since it was noted comes from before the clock was set back: it is over. A second is for clocks that are only put right.
  delete from @schema@.outbox_relay r where r.until <= v_now or r.until > v_now + r.wait + interval '1 second';
  update @schema@.outbox_lease l set relay = null, until = '-infinity' where l.until > v_now + l.wait + interval '1 second';
  update @schema@.outbox_wait w set until = v_now where w.seq = any(array(
    select v.seq from @schema@.outbox_wait v where v.until <> 'infinity' and v.until > v_now + v.wait + interval '1 second' for update skip locked));
  select count(*), count(*) filter (where r.relay collate "C" < p_relay collate "C") into v_live, v_place from @schema@.outbox_relay r;
  v_share := 64 / v_live + (case when v_place < 64 % v_live then 1 else 0 end);

  update @schema@.outbox_lease l set relay = null, until = '-infinity'
    where l.part in (
      select h.part from @schema@.outbox_lease h where h.relay = p_relay and h.until > v_now order by h.part offset v_share);
  update @schema@.outbox_lease l set until = v_until, wait = v_wait where l.relay = p_relay and l.until > v_now;
  get diagnostics v_kept = row_count;
  update @schema@.outbox_lease l set relay = p_relay, epoch = l.epoch + 1, until = v_until, wait = v_wait
    where l.part in (
      select f.part from @schema@.outbox_lease f where f.relay is null or f.until <= v_now
      order by f.part limit greatest(v_share - v_kept, 0));
  return query select l.part::int, l.epoch from @schema@.outbox_lease l where l.relay = p_relay and l.until > v_now order by l.part;
end $fairlead$;

create function @schema@.outbox_release(p_parts smallint[], p_epochs bigint[]) returns void language plpgsql
as $fairlead$
declare
  v_leaving text[];
begin
  perform from @schema@.outbox_lease l order by l.part for no key update;
  select array_agg(distinct l.relay) into v_leaving from @schema@.outbox_lease l
    join unnest(p_parts, p_epochs) g(part, epoch) on g.part = l.part and g.epoch = l.epoch where l.relay is not null;
  update @schema@.outbox_lease l set relay = null, until = '-infinity' from unnest(p_parts, p_epochs) g(part, epoch)
    where g.part = l.part and g.epoch = l.epoch;
  -- Who holds nothing more has left, and counts for no share.
  delete from @schema@.outbox_relay r where r.relay = any(v_leaving)
    and not exists (select from @schema@.outbox_lease l where l.relay = r.relay);
end $fairlead$;

-- Rows that may be published now, by their sequence. Bodies come in base64: shorter than as bytea, and
-- the same from every driver. What waits and what blocks is looked up in hashed lists:
-- the settings keep the planner to the primary key, whatever it believes; joined, it would sort the whole backlog;
-- to compile it, or to share it among workers, costs more than to read.
create function @schema@.outbox_pending(p_parts smallint[], p_epochs bigint[], p_limit int) returns table (
  seq bigint, part int, attempts int, channel text, id text, key text, head text, body text
) language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set max_parallel_workers_per_gather = 0 set jit = off
set plan_cache_mode = force_generic_plan
as $fairlead$
#variable_conflict use_column
declare
  v_held smallint[];
  v_now timestamptz := clock_timestamp();
begin
  v_held := array(
    select l.part from unnest(p_parts, p_epochs) g(part, epoch) join @schema@.outbox_lease l on l.part = g.part and l.epoch = g.epoch
    where l.relay is not null);
  if not exists (select from @schema@.outbox_wait) then
    return query
    select o.seq, o.part::int, 0, o.channel, o.id, o.key, o.head, encode(o.body, 'base64')
    from @schema@.outbox o
    where o.part = any(v_held)
    order by o.seq limit p_limit;
    return;
  end if;
  return query
  select o.seq, o.part::int, coalesce((select w.attempts from @schema@.outbox_wait w where w.seq = o.seq), 0), o.channel, o.id, o.key, o.head, encode(o.body, 'base64')
  from @schema@.outbox o
  where o.part = any(v_held)
    and o.seq not in (select w.seq from @schema@.outbox_wait w where w.until > v_now)
    and (o.digest is null
      or o.digest not in (select w.digest from @schema@.outbox_wait w where w.blocks and w.digest is not null and w.until > v_now)
      or not exists (select from @schema@.outbox_wait w where w.digest = o.digest and w.seq < o.seq and w.blocks and w.until > v_now))
  order by o.seq limit p_limit;
end $fairlead$;

-- These were published. Rows of parts that have another holder by now stay as they are; leasing takes the same locks in the same order.
create function @schema@.outbox_published(p_parts smallint[], p_epochs bigint[], p_seqs bigint[], p_archive boolean) returns int language plpgsql
set enable_seqscan = off set enable_bitmapscan = off set max_parallel_workers_per_gather = 0 set jit = off set plan_cache_mode = force_generic_plan
as $fairlead$
declare
  v_held smallint[];
  v_count int;
begin
  v_held := array(
    select l.part from unnest(p_parts, p_epochs) g(part, epoch) join @schema@.outbox_lease l on l.part = g.part and l.epoch = g.epoch
    where l.relay is not null order by l.part for share of l);
  if p_archive then
    with gone as (
      delete from @schema@.outbox o where o.seq = any(p_seqs) and o.part = any(v_held) returning o.*
    )
    insert into @schema@.outbox_archive (seq, written_at, channel, id, key, head, body)
    select g.seq, g.written_at, g.channel, g.id, g.key, g.head, g.body from gone g;
  else
    delete from @schema@.outbox o where o.seq = any(p_seqs) and o.part = any(v_held);
  end if;
  get diagnostics v_count = row_count;
  -- One was out while an earlier one of its key died.
  if v_count < cardinality(p_seqs) and exists (select from @schema@.outbox_behind) then
    with gone as (
      delete from @schema@.outbox_behind b where b.seq = any(p_seqs) and b.part = any(v_held) returning b.*
    ), kept as (
      insert into @schema@.outbox_archive (seq, written_at, channel, id, key, head, body)
      select g.seq, g.written_at, g.channel, g.id, g.key, g.head, g.body from gone g where p_archive
    )
    select v_count + count(*) into v_count from gone;
  end if;
  if exists (select from @schema@.outbox_wait) then
    delete from @schema@.outbox_wait w where w.seq = any(p_seqs) and w.part = any(v_held);
  end if;
  return v_count;
end $fairlead$;

-- Verdicts that are not "published"; "wait" is a "retry" that does not count. Rows of parts that have another holder by now stay as they are.
create function @schema@.outbox_set_aside(
  p_parts smallint[], p_epochs bigint[], p_seqs bigint[], p_verdicts text[], p_ms float8[], p_reasons text[], p_blocks boolean[]
) returns int language plpgsql
as $fairlead$
declare
  v_held smallint[];
  v_failed int;
  v_dead int;
  v_now timestamptz;
begin
  v_held := array(
    select l.part from @schema@.outbox_lease l join unnest(p_parts, p_epochs) g(part, epoch) on g.part = l.part and g.epoch = l.epoch
    where l.relay is not null order by l.part for share of l);
  v_now := clock_timestamp();
  insert into @schema@.outbox_wait as w (seq, part, digest, attempts, until, wait, blocks)
    select o.seq, o.part, o.digest, case when v.verdict = 'retry' then 1 else 0 end, v_now + v.ms * interval '1 millisecond', v.ms * interval '1 millisecond', v.verdict in ('retry', 'wait')
    from unnest(p_seqs, p_verdicts, p_ms) v(seq, verdict, ms)
    join @schema@.outbox o on o.seq = v.seq
    where v.verdict <> 'dead' and o.part = any(v_held)
    order by o.seq
    on conflict (seq) do update set attempts = w.attempts + excluded.attempts, until = excluded.until, wait = excluded.wait, blocks = excluded.blocks;
  get diagnostics v_failed = row_count;
  if not 'dead' = any(p_verdicts) then return v_failed; end if;
  with gone as (
    delete from @schema@.outbox o where o.part = any(v_held)
      and o.seq = any(array(select v.seq from unnest(p_seqs, p_verdicts) v(seq, verdict) where v.verdict = 'dead'))
    returning o.*
  ), dead as (
    insert into @schema@.outbox_dead (seq, part, digest, written_at, channel, id, key, head, body, attempts, reason)
    select g.seq, g.part, g.digest, g.written_at, g.channel, g.id, g.key, g.head, g.body,
      coalesce((select w.attempts from @schema@.outbox_wait w where w.seq = g.seq), 0) + 1, v.reason
    from gone g join unnest(p_seqs, p_verdicts, p_reasons) v(seq, verdict, reason) on v.seq = g.seq and v.verdict = 'dead'
    returning outbox_dead.seq, outbox_dead.part, outbox_dead.digest
  ), blocking as (
    insert into @schema@.outbox_wait as w (seq, part, digest, attempts, until, wait, blocks)
    select d.seq, d.part, d.digest, 0, 'infinity', '0', true
    from dead d join unnest(p_seqs, p_blocks) v(seq, blocks) on v.seq = d.seq where v.blocks and d.digest is not null
    on conflict (seq) do update set attempts = 0, until = 'infinity', blocks = true
    returning w.seq
  ), done as (
    delete from @schema@.outbox_wait w using unnest(p_seqs, p_verdicts, p_blocks) v(seq, verdict, blocks)
    where w.seq = v.seq and v.verdict = 'dead' and not (v.blocks and w.digest is not null) and w.seq in (select dead.seq from dead)
  )
  select count(*) into v_dead from dead;
  return v_failed + v_dead;
end $fairlead$;
`
