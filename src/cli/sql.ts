// fairlead sql: the steps of the schema, for a migration tool of one's own, and the rights that a service needs.
import { printMysqlMigrations } from '../adapters/mysql/index.ts'
import { printGrants, printMigrations } from '../adapters/postgres/index.ts'
import { printSqliteMigrations } from '../adapters/sqlite/index.ts'
import type { Io } from './io.ts'
import { countOf, only, parsed, textOf, Usage } from './usage.ts'

const OPTIONS = {
  schema: { type: 'string' },
  prefix: { type: 'string' },
  owner: { type: 'string' },
  after: { type: 'string' },
  grants: { type: 'string' },
} as const

/** Prints the SQL of one database. */
export async function sql(words: readonly string[], io: Io): Promise<number> {
  const { values, words: named } = parsed(words, OPTIONS)
  const [database, ...more] = named
  if (database === undefined || more.length > 0) throw new Usage('sql: name one of postgres, mysql, sqlite')
  const [schema, prefix, owner] = [textOf(values['schema']), textOf(values['prefix']), textOf(values['owner'])]
  const after = countOf('after', values['after'])
  const role = textOf(values['grants'])
  switch (database) {
    case 'postgres':
      only('sql postgres', values, role === undefined ? ['schema', 'owner', 'after'] : ['schema', 'grants'])
      io.out((role === undefined ? printMigrations({ schema, owner, after }) : printGrants({ schema, role })).trimEnd())
      return 0
    case 'mysql':
      only('sql mysql', values, ['prefix', 'after'])
      io.out(printMysqlMigrations({ prefix, after }).trimEnd())
      return 0
    case 'sqlite':
      only('sql sqlite', values, ['prefix', 'owner', 'after'])
      io.out(printSqliteMigrations({ prefix, owner, after }).trimEnd())
      return 0
    default:
      throw new Usage(`sql: there is no ${database} here; name one of postgres, mysql, sqlite`)
  }
}
