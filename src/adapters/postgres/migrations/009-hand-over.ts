// A relay that gives parts away settles first what it has sent of them, and one that leaves counts for no share at once. What programs of before ask for stays as it was.
import type { Migration } from '../../../core/migration.ts'

export const handOver: Migration = {
  number: 9,
  name: '009-hand-over',
  sql: `
-- A fair share of the parts for this relay: what it holds up to its share is extended, and what is free or has run out it takes, with a new epoch. The rest it has as before,
-- until it gives it back or it runs out: what was sent of it is settled first.
create function @schema@.outbox_lease_share(p_relay text, p_for_ms float8) returns table (leased int, leased_epoch bigint, surplus text) language plpgsql
as $fairlead$
declare
  v_now timestamptz;
  v_wait interval := p_for_ms * interval '1 millisecond';
  v_until timestamptz;
  v_live int;
  v_place int;
  v_share int;
  v_kept int;
  v_surplus smallint[];
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

  v_surplus := array(
    select h.part from @schema@.outbox_lease h where h.relay = p_relay and h.until > v_now order by h.part offset v_share);
  update @schema@.outbox_lease l set until = v_until, wait = v_wait
    where l.relay = p_relay and l.until > v_now and l.part <> all(v_surplus);
  get diagnostics v_kept = row_count;
  update @schema@.outbox_lease l set relay = p_relay, epoch = l.epoch + 1, until = v_until, wait = v_wait
    where l.part in (
      select f.part from @schema@.outbox_lease f where f.relay is null or f.until <= v_now
      order by f.part limit greatest(v_share - v_kept, 0));
  return query select l.part::int, l.epoch, case when l.part = any(v_surplus) then 'surplus' end from @schema@.outbox_lease l where l.relay = p_relay and l.until > v_now order by l.part;
end $fairlead$;

create function @schema@.outbox_release(p_parts smallint[], p_epochs bigint[], p_relay text) returns void language plpgsql
as $fairlead$
declare
  v_leaving text[];
begin
  perform from @schema@.outbox_lease l order by l.part for no key update;
  select array_agg(distinct l.relay) into v_leaving from @schema@.outbox_lease l
    join unnest(p_parts, p_epochs) g(part, epoch) on g.part = l.part and g.epoch = l.epoch where l.relay is not null;
  update @schema@.outbox_lease l set relay = null, until = '-infinity' from unnest(p_parts, p_epochs) g(part, epoch)
    where g.part = l.part and g.epoch = l.epoch;
  -- Who holds nothing more has left, and counts for no share; nor does who says that it leaves.
  delete from @schema@.outbox_relay r where r.relay = p_relay or r.relay = any(v_leaving)
    and not exists (select from @schema@.outbox_lease l where l.relay = r.relay);
end $fairlead$;
`,
}
