// Publishing from SQL: a procedure that triggers and other languages call. Not a part of the migrations: it needs a right that tables do not need (CREATE ROUTINE).
import { knownOptions } from '../../core/options.ts'
import { identifier, type MysqlTablesOptions, tablesOf } from './names.ts'
import { BUCKETS, PARTITIONS } from './store/outbox-rows.ts'
import { NOW_MS } from './time.ts'

/**
 * The statement that makes the procedure `publish` (after the prefix of the tables): one statement without a delimiter, to be run once by your own tool after the migrations,
 * with the right CREATE ROUTINE. Callers need EXECUTE. It publishes one message as part of the caller's transaction, or of the statement whose trigger calls it:
 *
 * `call fairlead_publish('topic', 'orders', 'order.placed', json_object('orderId', 'o1'), 'o1', null, '/shop')`
 *
 * with kind (`queue` or `topic`), name of the channel, type, data (JSON, or null for none), key (or null), id (null: a new UUID) and source (null: `/` and the owner of the tables, else `/outbox`).
 * Several calls in one transaction lock their keys one after another: two transactions that publish for the same keys in different orders can deadlock, as with row locks.
 * Outside of a transaction (autocommit) order per key is not kept. A body of more than `max_allowed_packet` is refused by the server.
 * @throws FairleadError `INVALID_OPTIONS` for names that cannot be
 */
export function printMysqlProcedure(options: MysqlTablesOptions = {}): string {
  knownOptions('printMysqlProcedure', options, ['prefix', 'database'])
  const { bucket, outbox, owner } = tablesOf(options)
  const { prefix = 'fairlead_', database } = options
  const place = database === undefined ? '' : `${identifier('database', database)}.`
  // The same digests as those of the store: parts with their length before them.
  const part = (name: string): string => `octet_length(${name}), ':', ${name}`
  return `create procedure ${place}${identifier('prefix', `${prefix}publish`)}(
  p_kind varchar(16) character set utf8mb4 collate utf8mb4_bin, p_channel mediumtext character set utf8mb4 collate utf8mb4_bin,
  p_type mediumtext character set utf8mb4 collate utf8mb4_bin, p_data longtext character set utf8mb4 collate utf8mb4_bin,
  p_key mediumtext character set utf8mb4 collate utf8mb4_bin, p_id mediumtext character set utf8mb4 collate utf8mb4_bin,
  p_source mediumtext character set utf8mb4 collate utf8mb4_bin)
  modifies sql data sql security invoker
begin
  declare v_id mediumtext character set utf8mb4 collate utf8mb4_bin default coalesce(p_id, cast(uuid() as char));
  declare v_digest binary(32);
  declare v_bucket smallint;
  declare v_head longtext character set utf8mb4 collate utf8mb4_bin;
  if p_kind is null or p_kind not in ('queue', 'topic') then
    signal sqlstate '45000' set message_text = 'kind: give queue or topic';
  end if;
  if coalesce(p_channel, '') = '' or coalesce(p_type, '') = '' then
    signal sqlstate '45000' set message_text = 'a message needs a channel and a type';
  end if;
  if v_id = '' or char_length(v_id) > 256 then
    signal sqlstate '45000' set message_text = 'an id has 1 to 256 characters';
  end if;
  if p_key = '' then
    signal sqlstate '45000' set message_text = 'a key must not be empty: give null for none';
  end if;
  set v_digest = unhex(sha2(if(p_key is null, concat('2:id', ${part('v_id')}), concat(${part('p_kind')}, ${part('p_channel')}, ${part('p_key')})), 256));
  set v_head = json_object('specversion', '1.0', 'source', coalesce(p_source, (select concat('/', o.owner) from ${owner} o where o.one = 1), '/outbox'),
    'type', p_type, 'time', concat(left(date_format(utc_timestamp(3), '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z'));
  if p_data is not null then
    set v_head = json_insert(v_head, '$.datacontenttype', 'application/json');
  end if;
  if p_key is not null then
    select b.bucket into v_bucket from ${bucket} b
      where b.bucket = (ord(substr(v_digest, 18, 1)) * 256 + ord(substr(v_digest, 19, 1))) % ${BUCKETS} for update;
  end if;
  insert into ${outbox} (partition_no, lane, channel_kind, channel_name, message_id, message_key, head, body, created_ms)
    values (ord(substr(v_digest, 16, 1)) % ${PARTITIONS}, if(p_key is null, null, left(v_digest, 16)), p_kind, p_channel, v_id, p_key,
      concat('{"a":', v_head, '}'), coalesce(cast(p_data as binary), ''), ${NOW_MS});
end`
}
