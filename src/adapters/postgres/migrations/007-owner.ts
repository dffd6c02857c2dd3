// Which service the tables belong to: two in one schema would publish each other's messages, and take each other's for applied.
import type { Migration } from '../../../core/migration.ts'

export const owner: Migration = {
  number: 7,
  name: '007-owner',
  sql: `
create table @schema@.owner (
  -- there is one at most
  one boolean primary key default true check (one),
  owner text not null
);
comment on table @schema@.owner is 'fairlead: the service that these tables belong to';
`,
}
