// What people and timers ask: what waits, and dead ones back to where they were.
export const messageCare: string = `
-- What could be handed out: neither held, nor delayed, nor behind a delayed one of its key.
create function @schema@.message_inspect(p_place int, p_least int) returns table (waiting float8, oldest_ms float8) language plpgsql
set enable_seqscan = off set jit = off
as $fairlead$
#variable_conflict use_column
declare
  v_waiting bigint;
  v_due bigint;
  v_oldest timestamptz;
begin
  select count(*) into v_waiting from @schema@.ready r where r.place = p_place and r.priority >= p_least;
  if v_waiting > 0 and exists (select from @schema@.taken t where t.place = p_place and t.holder is null and t.blocks and t.key is not null) then
    select v_waiting - count(*) into v_waiting from @schema@.ready r
    join (select t.key, min(t.seq) as seq from @schema@.taken t
      where t.place = p_place and t.holder is null and t.blocks and t.key is not null and t.until > clock_timestamp() group by t.key) b
      on b.key = r.key and b.seq < r.seq
    where r.place = p_place and r.priority >= p_least;
  end if;
  -- What is due, or whose lease is over, is as good as ready: the next claim takes it.
  select count(*) into v_due from @schema@.taken t where t.place = p_place and t.priority >= p_least and t.until <= clock_timestamp();
  if v_waiting + v_due > 0 then
    with recursive level as (
      (select r.priority, r.seq from @schema@.ready r where r.place = p_place and r.priority >= p_least order by r.priority desc, r.seq limit 1)
      union all
      select n.priority, n.seq from level l cross join lateral (
        select r.priority, r.seq from @schema@.ready r where r.place = p_place and r.priority < l.priority and r.priority >= p_least
        order by r.priority desc, r.seq limit 1) n
    )
    select min(m.sent_at) into v_oldest from @schema@.message m where m.seq in (
      select level.seq from level
      union all select t.seq from @schema@.taken t where t.place = p_place and t.priority >= p_least and t.until <= clock_timestamp());
  end if;
  return query select (v_waiting + v_due)::float8, extract(epoch from clock_timestamp() - v_oldest)::float8 * 1000;
end $fairlead$;

-- Puts dead ones back as new, at their old place in the order. All of them where p_ids is null.
create function @schema@.message_redrive(p_place int, p_ids text[]) returns int language plpgsql
as $fairlead$
declare
  v_count int;
  v_channel int;
  v_class int;
begin
  select p.channel, c.tableoid::int into v_channel, v_class from @schema@.place p join @schema@.channel c on c.id = p.channel where p.id = p_place;
  if v_channel is null then return 0; end if;
  -- The place stays, and so do the messages that are there still (message_tidy).
  perform pg_advisory_xact_lock_shared(v_class, v_channel);
  perform pg_advisory_xact_lock_shared(v_class, -v_channel);
  if not exists (select from @schema@.place p where p.id = p_place) then return 0; end if;
  with gone as (
    delete from @schema@.dead d where d.place = p_place and (p_ids is null or d.id = any(p_ids)) returning d.*
  ), back as (
    insert into @schema@.message (seq, channel, kept, priority, sent_at, not_before, expires_at, id, key, attributes, headers, body)
    select g.seq, g.channel, c.kind = 'topic', g.priority, g.sent_at, g.not_before, g.expires_at, g.id, g.key, g.attributes, g.headers, g.body
    from gone g join @schema@.channel c on c.id = g.channel
    on conflict (seq) do nothing
  )
  insert into @schema@.ready (place, priority, seq, key, attempts)
  select p_place, g.priority, g.seq, hashtextextended(g.key, 0), 0 from gone g;
  get diagnostics v_count = row_count;
  if v_count > 0 then perform pg_notify(@schema@.message_wake(v_channel), ''); end if;
  return v_count;
end $fairlead$;
`
