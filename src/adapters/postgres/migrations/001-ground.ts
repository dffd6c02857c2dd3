// Positions that consumers keep themselves, and who may move them (CheckpointStore).
import type { Migration } from '../../../core/migration.ts'

export const ground: Migration = {
  number: 1,
  name: '001-ground',
  sql: `
create table @schema@.lane (
  consumer text not null,
  lane text not null,
  -- null: nobody holds it
  member text,
  -- rises by one with each new holder; what an older one writes is refused
  epoch bigint not null default 0,
  until timestamptz not null default '-infinity',
  position text,
  saved_at timestamptz,
  primary key (consumer, lane)
) with (fillfactor = 50);

comment on table @schema@.lane is 'fairlead: positions kept by consumers, and the leases on them';

-- Who shares the lanes of a consumer, those included who got none.
create table @schema@.lane_member (
  consumer text not null,
  member text not null,
  until timestamptz not null,
  primary key (consumer, member)
);

create function @schema@.lease_lanes(p_consumer text, p_member text, p_lanes text[], p_for_ms double precision)
returns table (leased text, leased_epoch bigint) language plpgsql as $fairlead$
declare
  moment timestamptz;
  ends timestamptz;
  live int;
  place int;
  share int;
  kept int;
begin
  -- One at a time for a consumer; and only then the time is read, and what the one before has left.
  perform pg_advisory_xact_lock(hashtext('fairlead:lane'), hashtext(p_consumer));
  moment := clock_timestamp();
  ends := moment + p_for_ms * interval '1 millisecond';
  insert into @schema@.lane_member as m (consumer, member, until) values (p_consumer, p_member, ends)
    on conflict (consumer, member) do update set until = excluded.until;
  delete from @schema@.lane_member m where m.consumer = p_consumer and m.until <= moment;
  select count(*), count(*) filter (where m.member collate "C" < p_member collate "C") into live, place
    from @schema@.lane_member m where m.consumer = p_consumer;
  select count(distinct w) / live + (case when place < count(distinct w) % live then 1 else 0 end) into share
    from unnest(p_lanes) w;

  update @schema@.lane l set member = null, until = '-infinity'
    where l.consumer = p_consumer and l.lane in (
      select h.lane from @schema@.lane h join unnest(p_lanes) with ordinality w(name, n) on w.name = h.lane
      where h.consumer = p_consumer and h.member = p_member and h.until > moment
      group by h.lane order by min(w.n) offset share);
  update @schema@.lane l set until = ends
    where l.consumer = p_consumer and l.member = p_member and l.until > moment and l.lane = any(p_lanes);
  get diagnostics kept = row_count;

  insert into @schema@.lane as l (consumer, lane, member, epoch, until)
    select p_consumer, w.name, p_member, 1, ends from unnest(p_lanes) with ordinality w(name, n)
    where not exists (
      select from @schema@.lane h where h.consumer = p_consumer and h.lane = w.name and h.member is not null and h.until > moment)
    group by w.name order by min(w.n) limit greatest(share - kept, 0)
    on conflict (consumer, lane) do update set member = excluded.member, epoch = l.epoch + 1, until = excluded.until;

  return query select l.lane, l.epoch from @schema@.lane l
    where l.consumer = p_consumer and l.member = p_member and l.until > moment and l.lane = any(p_lanes)
    order by array_position(p_lanes, l.lane);
end $fairlead$;

create function @schema@.release_lanes(p_consumer text, p_lanes text[], p_epochs bigint[])
returns void language plpgsql as $fairlead$
declare
  leaving text[];
begin
  perform pg_advisory_xact_lock(hashtext('fairlead:lane'), hashtext(p_consumer));
  select array_agg(distinct l.member) into leaving from @schema@.lane l
    join unnest(p_lanes, p_epochs) r(name, epoch) on r.name = l.lane and r.epoch = l.epoch
    where l.consumer = p_consumer and l.member is not null;
  update @schema@.lane l set member = null, until = '-infinity' from unnest(p_lanes, p_epochs) r(name, epoch)
    where l.consumer = p_consumer and r.name = l.lane and r.epoch = l.epoch;
  -- Who holds nothing more has left, and counts for no share.
  delete from @schema@.lane_member m where m.consumer = p_consumer and m.member = any(leaving)
    and not exists (select from @schema@.lane l where l.consumer = p_consumer and l.member = m.member);
end $fairlead$;
`,
}
