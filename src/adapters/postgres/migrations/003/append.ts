// The way in: rows of a batch, or one message from a trigger or another language.
export const outboxAppend: string = `
-- What keeps the order of a key: everything that is one for it has the same digest.
create function @schema@.outbox_digest(p_channel text, p_key text) returns bigint language sql immutable parallel safe
as $fairlead$ select hashtextextended(p_key, hashtextextended(p_channel, 0)) $fairlead$;

-- Takes the locks of these keys, until the transaction ends, in one order for all. 1,024 stripes are all there are: a lock a key would run out of memory
-- for locks at some ten thousand keys. Keys come as '=key', and as '' where there is none.
create function @schema@.outbox_lock(p_channels text[], p_keys text[]) returns void language plpgsql
as $fairlead$
begin
  perform pg_advisory_xact_lock(hashtext('fairlead:outbox:' || @schema_text@), s.stripe)
  from (
    select distinct ((@schema@.outbox_digest(u.channel, substr(u.key, 2)) >> 6) & 1023)::int as stripe
    from unnest(p_channels, p_keys) u(channel, key) where u.key <> '' order by 1
  ) s;
end $fairlead$;

-- Writes rows in the order given. First the locks, only then the sequence. p_ends: where in p_bodies each body ends.
create function @schema@.outbox_append(
  p_channels text[], p_ids text[], p_keys text[], p_heads text[], p_ends int[], p_bodies bytea
) returns void language plpgsql
as $fairlead$
begin
  perform pg_advisory_xact_lock(hashtext('fairlead:outbox:' || @schema_text@), s.stripe)
  from (
    select distinct ((hashtextextended(substr(u.key, 2), hashtextextended(u.channel, 0)) >> 6) & 1023)::int as stripe
    from unnest(p_channels, p_keys) u(channel, key) where u.key <> '' order by 1
  ) s;
  insert into @schema@.outbox (part, digest, channel, id, key, head, body)
  select (coalesce(r.digest, hashtextextended(r.id, 0)) & 63)::smallint, r.digest, r.channel, r.id, r.key, r.head, r.body
  from (
    select u.channel, u.id, u.head, case when u.key <> '' then substr(u.key, 2) end as key,
      case when u.key <> '' then hashtextextended(substr(u.key, 2), hashtextextended(u.channel, 0)) end as digest,
      substr(p_bodies, coalesce(p_ends[u.n - 1], 0) + 1, u.ending - coalesce(p_ends[u.n - 1], 0)) as body, u.n
    from unnest(p_channels, p_ids, p_keys, p_heads, p_ends) with ordinality u(channel, id, key, head, ending, n)
  ) r
  order by r.n;
end $fairlead$;

-- The same for one row, which most transactions write: half the work. p_key: null for none.
create function @schema@.outbox_append_one(p_channel text, p_id text, p_key text, p_head text, p_body bytea) returns void language plpgsql
as $fairlead$
declare
  v_digest bigint := hashtextextended(p_key, hashtextextended(p_channel, 0));
begin
  if v_digest is not null then
    perform pg_advisory_xact_lock(hashtext('fairlead:outbox:' || @schema_text@), ((v_digest >> 6) & 1023)::int);
  end if;
  insert into @schema@.outbox (part, digest, channel, id, key, head, body)
  values ((coalesce(v_digest, hashtextextended(p_id, 0)) & 63)::smallint, v_digest, p_channel, p_id, p_key, p_head, p_body);
end $fairlead$;

-- Publishes one message: for triggers and other languages. It is on its way once the transaction commits. Answers its id.
-- Several calls in one transaction take the locks of their keys one after another: two transactions that publish for the same keys in different orders
-- can deadlock, as with row locks.
create function @schema@.publish(
  kind text, channel text, type text, data jsonb, key text default null, id text default null, source text default null, headers jsonb default null,
  attributes jsonb default null, version int default 1, priority int default null, not_before timestamptz default null, expires_at timestamptz default null
) returns text language plpgsql
as $fairlead$
#variable_conflict use_variable
declare
  v_id text := coalesce(publish.id, gen_random_uuid()::text);
  v_address text;
  v_head jsonb;
  v_body bytea := coalesce(convert_to(publish.data::text, 'UTF8'), '');
begin
  if publish.kind is null or publish.kind not in ('queue', 'topic') then
    raise exception 'kind is %: give queue or topic', publish.kind using errcode = 'invalid_parameter_value';
  end if;
  if coalesce(publish.channel, '') = '' or coalesce(publish.type, '') = '' then
    raise exception 'a message needs a channel and a type' using errcode = 'invalid_parameter_value';
  end if;
  if v_id = '' or length(v_id) > 256 then
    raise exception 'an id has 1 to 256 characters' using errcode = 'invalid_parameter_value';
  end if;
  if publish.key = '' then
    raise exception 'a key must not be empty: give null for none' using errcode = 'invalid_parameter_value';
  end if;
  v_address := publish.kind || ':' || publish.channel;
  v_head := jsonb_strip_nulls(jsonb_build_object(
    'a', coalesce((select jsonb_object_agg(e.key, e.value) from jsonb_each_text(publish.attributes) e), '{}') || jsonb_strip_nulls(jsonb_build_object(
      'specversion', '1.0',
      'source', coalesce(publish.source, (select '/' || o.owner from @schema@.owner o), '/outbox'),
      'type', publish.type,
      'time', to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
      'datacontenttype', case when publish.data is not null then 'application/json' end,
      'typeversion', case when publish.version > 1 then publish.version::text end)),
    'h', (select jsonb_object_agg(lower(e.key), e.value) from jsonb_each_text(publish.headers) e),
    'p', publish.priority,
    'n', ceil(extract(epoch from publish.not_before) * 1000)::bigint,
    'e', floor(extract(epoch from publish.expires_at) * 1000)::bigint));
  perform @schema@.outbox_append_one(v_address, v_id, publish.key, v_head::text, v_body);
  return v_id;
end $fairlead$;
`
