import { expect, it } from 'vitest'
import { answersRows } from '../../../../src/adapters/postgres/drivers/statement.ts'

it.each([
  'select 1',
  '  -- a comment; insert\n SELECT 1;',
  '/* insert */ values (1)',
  'insert into t values (1) returning n',
  'with a as (delete from t returning n) select n from a',
  'with a as (select 1), b as (select 2) table b',
  `select 'a;b', "c;d", $$ ; insert $$, $x$ ; $$ ; $x$`,
  'with a as materialized (select 1) update t set n = 1 returning (select 2)',
])('gives rows: %s', (text) => expect(answersRows(text)).toBe(true))

it.each([
  'insert into t values (1)',
  `insert into t values ('returning')`,
  'insert into t select n from u',
  'with a as (delete from t returning n) insert into u select n from a',
  'delete from t where n in (select n from u)',
  'update t set returned = 1',
  'create table t (n int)',
  'select 1; select 2',
  'do $$ begin return; end $$',
  'select 1 as n into t',
  'truncate t',
  '',
])('gives none: %s', (text) => expect(answersRows(text)).toBe(false))
