// The way of a message: sent, handed out, settled, given back.
export const messageTurns: string = `
-- What those who wait for messages of a channel listen to.
create function @schema@.message_wake(p_channel int) returns text language sql stable
as $fairlead$ select 'fairlead/' || c.tableoid || '/' || c.id from @schema@.channel c where c.id = p_channel $fairlead$;

-- Sends one batch. Answers how many places get it; null where there is no such channel.
-- The shared lock keeps a new group from being made in the middle: it sees all of the batch or stands before it.
-- An instant before 1970 is one that is past: the earliest ones of a sender are none of a timestamptz.
create function @schema@.message_send(
  p_kind text, p_name text, p_ids text[], p_keys text[], p_priorities int[], p_not_before bigint[], p_expires bigint[],
  p_attributes text[], p_headers text[], p_ends int[], p_bodies bytea, p_notify boolean
) returns int language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off set plan_cache_mode = force_generic_plan
as $fairlead$
declare
  v_channel int;
  v_class int;
  v_places int[];
begin
  select c.id, c.tableoid::int into v_channel, v_class from @schema@.channel c where c.kind = p_kind and c.name = p_name;
  if v_channel is null then return null; end if;
  perform pg_advisory_xact_lock_shared(v_class, v_channel);
  if not exists (select from @schema@.channel c where c.id = v_channel) then return null; end if;
  v_places := array(select p.id from @schema@.place p where p.channel = v_channel);
  with sent as (
    insert into @schema@.message (channel, kept, priority, not_before, expires_at, id, key, attributes, headers, body)
    select v_channel, p_kind = 'topic', u.priority, u.not_before, u.expires_at, u.id, u.key, u.attributes, u.headers,
      substr(p_bodies, coalesce(p_ends[u.n - 1], 0) + 1, u.ending - coalesce(p_ends[u.n - 1], 0))
    from unnest(p_ids, p_keys, p_priorities, p_not_before, p_expires, p_attributes, p_headers, p_ends)
      with ordinality u(id, key, priority, not_before, expires_at, attributes, headers, ending, n)
    order by u.n
    returning message.seq, message.priority, message.key, message.not_before
  ), now_ready as (
    insert into @schema@.ready (place, priority, seq, key, attempts)
    select p.id, s.priority, s.seq, hashtextextended(s.key, 0), 0
    from sent s cross join unnest(v_places) p(id)
    where s.not_before is null or to_timestamp(greatest(s.not_before, 0) / 1000.0) <= clock_timestamp()
  )
  insert into @schema@.taken (place, seq, priority, key, attempts, holder, until, blocks)
  select p.id, s.seq, s.priority, hashtextextended(s.key, 0), 0, null, to_timestamp(greatest(s.not_before, 0) / 1000.0), false
  from sent s cross join unnest(v_places) p(id)
  where s.not_before is not null and to_timestamp(greatest(s.not_before, 0) / 1000.0) > clock_timestamp();
  if p_notify then perform pg_notify(@schema@.message_wake(v_channel), ''); end if;
  return cardinality(v_places);
end $fairlead$;

-- One turn of a receiver: settles what it has handled and hands it up to p_want more. The first row says which acknowledgements came
-- too late (lost), whether more than was wanted is there (more), and when the next delayed one is due (due_ms); the others are messages.
-- Claims of one place take turns (advisory lock): each sees the ones before it, which FOR UPDATE SKIP LOCKED would not,
-- and without that the order of a key is lost. Losing a turn in a crash of the server only means that messages come again,
-- so nobody waits for the disk, unless p_durable.
create function @schema@.message_turn(
  p_place int, p_holder uuid, p_lease_ms float8, p_acks bigint[], p_attempts int[], p_queue boolean, p_want int, p_durable boolean, p_expired boolean
) returns table (
  seq bigint, attempts int, lost bigint[], due_ms float8, priority int, not_before bigint, expires_at bigint, id text, key text,
  attributes text, headers text, body bytea
) language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off set jit = off
set plan_cache_mode = force_generic_plan
as $fairlead$
#variable_conflict use_column
declare
  v_gone bigint[];
  v_lost bigint[];
  v_now timestamptz;
  v_due timestamptz;
  v_class int;
begin
  if not p_durable then perform set_config('synchronous_commit', 'off', true); end if;
  if cardinality(p_acks) > 0 then
    -- OFFSET 0 holds the planner to looking each one up: joined the other way round it compares every acknowledgement with all that is held.
    if p_queue then
      with gone as (
        delete from @schema@.taken t
        where t.holder = p_holder and t.ctid = any(array(
          select own.at from unnest(p_acks, p_attempts) a(seq, attempts) cross join lateral (
            select o.ctid as at from @schema@.taken o
            where o.place = p_place and o.seq = a.seq and o.holder = p_holder and o.attempts = a.attempts offset 0
          ) own
        ))
        returning t.seq
      ), dropped as (
        delete from @schema@.message m using gone where m.seq = gone.seq
      )
      select array_agg(gone.seq) into v_gone from gone;
    else
      with gone as (
        delete from @schema@.taken t
        where t.holder = p_holder and t.ctid = any(array(
          select own.at from unnest(p_acks, p_attempts) a(seq, attempts) cross join lateral (
            select o.ctid as at from @schema@.taken o
            where o.place = p_place and o.seq = a.seq and o.holder = p_holder and o.attempts = a.attempts offset 0
          ) own
        ))
        returning t.seq
      )
      select array_agg(gone.seq) into v_gone from gone;
    end if;
    if coalesce(cardinality(v_gone), 0) < cardinality(p_acks) then
      v_lost := array(select unnest(p_acks) except select unnest(v_gone));
    end if;
  end if;
  if p_want <= 0 then
    return query select null::bigint, null::int, v_lost, null::float8, null::int, null::bigint, null::bigint, null::text, null::text,
      null::text, null::text, null::bytea;
    return;
  end if;
  select p.tableoid::int into v_class from @schema@.place p where p.id = p_place;
  -- No row at all: the place is gone.
  if v_class is null then return; end if;
  perform pg_advisory_xact_lock(v_class, p_place);
  if not exists (select from @schema@.place p where p.id = p_place) then return; end if;
  v_now := clock_timestamp();
  if p_expired then
    with due as (
      select t.place, t.seq from @schema@.taken t where t.place = p_place and t.holder is not null and t.until <= v_now
      order by t.seq limit 1000 for update skip locked
    ), gone as (
      delete from @schema@.taken t using due where t.place = due.place and t.seq = due.seq
      returning t.place, t.priority, t.seq, t.key, t.attempts
    )
    insert into @schema@.ready (place, priority, seq, key, attempts) select g.place, g.priority, g.seq, g.key, g.attempts from gone g;
  end if;
  select t.until into v_due from @schema@.taken t where t.place = p_place and t.holder is null order by t.until limit 1;
  if v_due <= v_now then
    with due as (
      select t.place, t.seq from @schema@.taken t where t.place = p_place and t.holder is null and t.until <= v_now
      order by t.until limit 1000 for update skip locked
    ), gone as (
      delete from @schema@.taken t using due where t.place = due.place and t.seq = due.seq
      returning t.place, t.priority, t.seq, t.key, t.attempts
    )
    insert into @schema@.ready (place, priority, seq, key, attempts) select g.place, g.priority, g.seq, g.key, g.attempts from gone g;
    select t.until into v_due from @schema@.taken t where t.place = p_place and t.holder is null order by t.until limit 1;
  end if;
  return query select null::bigint, null::int, v_lost, extract(epoch from v_due - v_now)::float8 * 1000, null::int, null::bigint, null::bigint,
    null::text, null::text, null::text, null::text, null::bytea;
  return query
  with next as materialized (
    select r.ctid as at, r.priority, r.seq, r.key, r.attempts + 1 as attempts from @schema@.ready r
    where r.place = p_place and (r.key is null or not exists (
      select from @schema@.taken t where t.place = p_place and t.key = r.key
        and case when t.holder is null then t.blocks and t.seq < r.seq else t.holder <> p_holder end
    ))
    order by r.priority desc, r.seq limit p_want
  ), gone as (
    delete from @schema@.ready r where r.ctid = any(array(select next.at from next))
  ), held as (
    insert into @schema@.taken (place, seq, priority, key, attempts, holder, until, blocks)
    select p_place, n.seq, n.priority, n.key, n.attempts, p_holder, v_now + p_lease_ms * interval '1 ms', false from next n
    -- A row whose message is gone, however that came about, would be held and given back for ever.
    where exists (select from @schema@.message m where m.seq = n.seq)
  )
  select n.seq, n.attempts, null::bigint[], null::float8, n.priority, m.not_before, m.expires_at, m.id, m.key, m.attributes, m.headers, m.body
  from next n join @schema@.message m on m.seq = n.seq
  order by n.priority desc, n.seq;
end $fairlead$;

-- All verdicts but acknowledgements, and longer leases: retry, dead, extend. Answers those that came too late.
create function @schema@.message_settle(
  p_place int, p_queue boolean, p_holder uuid, p_verdicts text[], p_seqs bigint[], p_attempts int[], p_ms float8[], p_blocks boolean[],
  p_reasons text[], p_durable boolean
) returns table (seq bigint) language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off set jit = off
set plan_cache_mode = force_generic_plan
as $fairlead$
#variable_conflict use_column
declare
  v_some bigint[];
  v_found bigint[] := '{}';
begin
  if not p_durable then perform set_config('synchronous_commit', 'off', true); end if;
  if 'extend' = any(p_verdicts) then
    with done as (
      update @schema@.taken t set until = clock_timestamp() + u.ms * interval '1 ms'
      from unnest(p_verdicts, p_seqs, p_attempts, p_ms) u(verdict, seq, attempts, ms)
      where u.verdict = 'extend' and t.place = p_place and t.seq = u.seq and t.attempts = u.attempts and t.holder = p_holder
      returning t.seq
    ) select array_agg(done.seq) into v_some from done;
    v_found := v_found || v_some;
  end if;
  if 'retry' = any(p_verdicts) then
    with done as (
      update @schema@.taken t set holder = null, until = clock_timestamp() + u.ms * interval '1 ms', blocks = u.blocks
      from unnest(p_verdicts, p_seqs, p_attempts, p_ms, p_blocks) u(verdict, seq, attempts, ms, blocks)
      where u.verdict = 'retry' and u.ms > 0 and t.place = p_place and t.seq = u.seq and t.attempts = u.attempts and t.holder = p_holder
      returning t.seq
    ) select array_agg(done.seq) into v_some from done;
    v_found := v_found || v_some;
    with done as (
      delete from @schema@.taken t using unnest(p_verdicts, p_seqs, p_attempts, p_ms) u(verdict, seq, attempts, ms)
      where u.verdict = 'retry' and u.ms <= 0 and t.place = p_place and t.seq = u.seq and t.attempts = u.attempts and t.holder = p_holder
      returning t.seq, t.priority, t.key, t.attempts
    ), back as (
      insert into @schema@.ready (place, priority, seq, key, attempts) select p_place, d.priority, d.seq, d.key, d.attempts from done d
    ) select array_agg(done.seq) into v_some from done;
    v_found := v_found || v_some;
  end if;
  if 'dead' = any(p_verdicts) then
    with done as (
      delete from @schema@.taken t using unnest(p_verdicts, p_seqs, p_attempts, p_reasons) u(verdict, seq, attempts, reason)
      where u.verdict = 'dead' and t.place = p_place and t.seq = u.seq and t.attempts = u.attempts and t.holder = p_holder
      returning t.seq, u.reason
    ), buried as (
      insert into @schema@.dead (place, seq, channel, priority, sent_at, reason, not_before, expires_at, id, key, attributes, headers, body)
      select p_place, m.seq, m.channel, m.priority, m.sent_at, d.reason, m.not_before, m.expires_at, m.id, m.key, m.attributes, m.headers, m.body
      from done d join @schema@.message m on m.seq = d.seq
    ), dropped as (
      delete from @schema@.message m using done d where p_queue and m.seq = d.seq
    ) select array_agg(done.seq) into v_some from done;
    v_found := v_found || v_some;
  end if;
  return query select s.seq from unnest(p_seqs) s(seq) except select f.seq from unnest(v_found) f(seq);
end $fairlead$;

-- Gives back what a receiver holds but p_keep. What its sink never got (not in p_counted) does not count as handed out.
create function @schema@.message_release(p_place int, p_holder uuid, p_keep bigint[], p_counted bigint[]) returns int language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $fairlead$
declare
  v_count int;
begin
  perform set_config('synchronous_commit', 'off', true);
  with done as (
    delete from @schema@.taken t where t.place = p_place and t.holder = p_holder and t.seq <> all(p_keep)
    returning t.seq, t.priority, t.key, t.attempts
  )
  insert into @schema@.ready (place, priority, seq, key, attempts)
  select p_place, d.priority, d.seq, d.key, d.attempts - (d.seq <> all(p_counted))::int from done d;
  get diagnostics v_count = row_count;
  return v_count;
end $fairlead$;
`
