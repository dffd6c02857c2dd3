// Channels, groups and live subscriptions: made, found, kept alive, removed.
export const messagePlaces: string = `
-- For each place whether a claim could find something, and when the next one is due.
create function @schema@.message_poll(p_places int[]) returns table (place int, found boolean, due_ms float8) language sql volatile
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_bitmapscan = off set jit = off
as $fairlead$
  select p.id,
    exists (select from @schema@.ready r where r.place = p.id)
      or exists (select from @schema@.taken t where t.place = p.id and t.holder is not null and t.until <= clock_timestamp()),
    (select extract(epoch from t.until - clock_timestamp())::float8 * 1000 from @schema@.taken t
      where t.place = p.id and t.holder is null order by t.until limit 1)
  from unnest(p_places) p(id)
$fairlead$;

-- Makes what is not there yet. A queue comes with its place.
create function @schema@.message_create(p_kind text, p_name text, p_retention_ms float8) returns int language plpgsql
as $fairlead$
declare
  v_channel int;
begin
  insert into @schema@.channel (kind, name, retention) values (p_kind, p_name, p_retention_ms * interval '1 ms')
    on conflict (kind, name) do nothing;
  select c.id into v_channel from @schema@.channel c where c.kind = p_kind and c.name = p_name;
  if p_kind = 'queue' then
    insert into @schema@.place (channel, name) values (v_channel, '') on conflict (channel, name) do nothing;
  end if;
  return v_channel;
end $fairlead$;

-- Where a receiver takes from. Makes a new group, a live subscription (p_live, with p_group as its name) or a private channel (p_temporary).
-- Nothing is sent to the channel while the group is made, so that it has all from where it starts. The state says why there is none.
-- Nor is anything purged: of the rows that refer to old messages nobody else knows yet. Ids are above 0: the negative one is that lock.
create function @schema@.message_join(
  p_kind text, p_name text, p_group text, p_live boolean, p_temporary boolean, p_from text, p_value float8, p_position bigint
) returns table (state text, place int, channel int, wake text, first text) language plpgsql
as $fairlead$
#variable_conflict use_column
declare
  v_channel int;
  v_place int;
  v_temporary boolean;
  v_purged bigint;
  v_class int;
begin
  if p_temporary then
    insert into @schema@.channel (kind, name, temporary, retention) values (p_kind, p_name, true, '0') returning id into v_channel;
    insert into @schema@.place (channel, name, seen_at) values (v_channel, '', now()) returning id into v_place;
    return query select 'joined', v_place, v_channel, @schema@.message_wake(v_channel), null::text;
    return;
  end if;
  select c.id, c.temporary, c.tableoid::int into v_channel, v_temporary, v_class from @schema@.channel c where c.kind = p_kind and c.name = p_name;
  if v_channel is null then return query select 'missing', null::int, null::int, null::text, null::text; return; end if;
  if v_temporary then return query select 'private', null::int, null::int, null::text, null::text; return; end if;
  select p.id into v_place from @schema@.place p where p.channel = v_channel and p.name = p_group;
  if v_place is null then
    perform pg_advisory_xact_lock(v_class, v_channel);
    perform pg_advisory_xact_lock_shared(v_class, -v_channel);
    select p.id into v_place from @schema@.place p where p.channel = v_channel and p.name = p_group;
  end if;
  if v_place is null then
    select c.purged_to into v_purged from @schema@.channel c where c.id = v_channel;
    if p_from = 'position' and p_position < v_purged then
      return query select 'expired', null::int, null::int, null::text, v_purged::text;
      return;
    end if;
    insert into @schema@.place (channel, name, seen_at) values (v_channel, p_group, case when p_live then now() end) returning id into v_place;
    if p_from <> 'latest' then
      with those as (
        select m.seq, m.priority, hashtextextended(m.key, 0) as key,
          case when m.not_before is not null then to_timestamp(greatest(m.not_before, 0) / 1000.0) end as due
        from @schema@.message m
        where m.channel = v_channel and m.kept
          and case p_from when 'earliest' then true when 'time' then m.sent_at >= to_timestamp(p_value / 1000.0) else m.seq > p_position end
      ), now_ready as (
        insert into @schema@.ready (place, priority, seq, key, attempts)
        select v_place, t.priority, t.seq, t.key, 0 from those t where t.due is null or t.due <= clock_timestamp()
      )
      insert into @schema@.taken (place, seq, priority, key, attempts, holder, until, blocks)
      select v_place, t.seq, t.priority, t.key, 0, null, t.due, false from those t where t.due > clock_timestamp();
    end if;
  end if;
  return query select 'joined', v_place, v_channel, @schema@.message_wake(v_channel), null::text;
end $fairlead$;

-- A place goes, with all that is in it.
create function @schema@.message_leave(p_place int) returns void language plpgsql
as $fairlead$
declare
  v_channel int;
  v_class int;
  v_place_class int;
begin
  select c.id, c.tableoid::int, p.tableoid::int into v_channel, v_class, v_place_class from @schema@.place p join @schema@.channel c on c.id = p.channel
  where p.id = p_place and p.seen_at is not null;
  if v_channel is null then return; end if;
  -- Neither a send nor a claim is under way from here on.
  perform pg_advisory_xact_lock(v_class, v_channel);
  perform pg_advisory_xact_lock(v_place_class, p_place);
  delete from @schema@.message m where not m.kept
    and m.seq in (select r.seq from @schema@.ready r where r.place = p_place union all select t.seq from @schema@.taken t where t.place = p_place);
  -- In this order: what a settlement under way moves from taken to ready is seen.
  delete from @schema@.taken t where t.place = p_place;
  delete from @schema@.ready r where r.place = p_place;
  delete from @schema@.dead d where d.place = p_place;
  delete from @schema@.place p where p.id = p_place;
  with gone as (delete from @schema@.channel c where c.id = v_channel and c.temporary returning c.id)
  delete from @schema@.message m using gone where m.channel = gone.id and m.kept;
end $fairlead$;

-- These live places are alive. Answers those that are there still.
create function @schema@.message_beat(p_places int[]) returns table (place int) language sql
as $fairlead$ update @schema@.place p set seen_at = now() where p.id = any(p_places) and p.seen_at is not null returning p.id $fairlead$;

-- Removes places whose receiver was not heard of for so long, and messages whose retention is over and that nobody waits for any more.
-- One process at a time; answers how many messages went, so that the caller knows whether to go on.
create function @schema@.message_tidy(p_stale_ms float8, p_limit int) returns int language plpgsql
as $fairlead$
declare
  v_place int;
  v_channel record;
  v_count int;
  v_sum int := 0;
  v_class int;
begin
  select c.tableoid::int into v_class from @schema@.channel c limit 1;
  -- Identities begin at 1: no channel has this one.
  if v_class is null or not pg_try_advisory_xact_lock(v_class, 0) then return 0; end if;
  for v_place in select p.id from @schema@.place p where p.seen_at < now() - p_stale_ms * interval '1 ms' limit 10 loop
    perform @schema@.message_leave(v_place);
  end loop;
  for v_channel in select c.id, c.retention from @schema@.channel c where c.kind = 'topic' loop
    -- A group that is being made, or a redrive, is about to refer to old ones: the next round takes them. Sends hold nothing up.
    continue when not pg_try_advisory_xact_lock(v_class, -v_channel.id);
    with first as (
      select m.seq, m.priority, m.sent_at from @schema@.message m where m.channel = v_channel.id and m.kept order by m.seq limit p_limit
    ), over as (
      select f.seq from first f where f.sent_at <= now() - v_channel.retention
        and not exists (select from @schema@.place p join @schema@.ready r on r.place = p.id and r.priority = f.priority and r.seq = f.seq
          where p.channel = v_channel.id)
        and not exists (select from @schema@.place p join @schema@.taken t on t.place = p.id and t.seq = f.seq where p.channel = v_channel.id)
    ), gone as (
      delete from @schema@.message m using over where m.seq = over.seq returning m.seq
    ), noted as (
      update @schema@.channel c set purged_to = greatest(c.purged_to, (select max(gone.seq) from gone)) where c.id = v_channel.id
        and exists (select from gone)
    )
    select count(*) into v_count from gone;
    v_sum := v_sum + v_count;
  end loop;
  return v_sum;
end $fairlead$;
`
