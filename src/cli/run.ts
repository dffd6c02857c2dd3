// From words on a command line to a command, and from what it throws to an exit code: 0 done, 1 failed, 2 not understood.
import { isFairleadError } from '../errors/index.ts'
import type { Io } from './io.ts'
import { outbox } from './outbox.ts'
import { processes } from './process.ts'
import { sql } from './sql.ts'
import { Usage } from './usage.ts'

const HELP = `fairlead: what is done by hand

  fairlead sql postgres|mysql|sqlite   the SQL of its tables, for a migration tool of your own
      --schema NAME                    PostgreSQL: the schema; default fairlead
      --prefix NAME                    MySQL, SQLite: what the names of tables begin with; default fairlead_
      --after N                        only the steps after number N
      --owner NAME                     also marks the tables as those of this service (PostgreSQL, SQLite)
      --grants ROLE                    PostgreSQL: instead, the rights that a service needs to run

  fairlead outbox status               backlog, dead, blocked keys, age of the oldest
  fairlead outbox dead                 dead messages, oldest first          [--limit N]
  fairlead outbox redrive ID... | all  puts dead messages back at their place in the order
  fairlead outbox skip ID...           gives messages up for good; their keys go on
  fairlead outbox purge                deletes archived messages            [--older-than 7d] [--limit N]
  fairlead outbox purge --dead         deletes dead messages for good       --older-than 30d [--limit N]

  fairlead process list NAME           those that go on, by id     [--status stuck|all|...] [--limit N] [--after ID]
  fairlead process show NAME ID        its steps, what is to be undone, what comes when, its state
  fairlead process resume NAME ID      has one that is stuck go on: asks, or undoes, again
      --done STEP, --refused STEP      what was found out by hand of a step whose fate is unknown
  fairlead process cancel NAME ID      fails it: what was done is undone   [--reason TEXT]
  fairlead process purge NAME          deletes those that are over          --older-than 30d [--limit N]
      --database URL                   postgres://, mysql://, or sqlite:path; default $DATABASE_URL
      --schema, --prefix               as above
      --json                           for machines

The driver (pg, mysql2, libsql) is the one installed in your project.`

/** Runs one command. Resolves with the exit code. */
export async function run(words: readonly string[], io: Io): Promise<number> {
  const [command, ...rest] = words
  try {
    if (command === undefined || command === 'help' || command === '--help' || command === '-h') {
      io.out(HELP)
      return command === undefined ? 2 : 0
    }
    if (command === 'sql') return await sql(rest, io)
    if (command === 'outbox') return await outbox(rest, io)
    if (command === 'process') return await processes(rest, io)
    throw new Usage(`there is no command ${command}`)
  } catch (error) {
    if (error instanceof Usage) {
      io.err(`fairlead: ${error.message}\nfairlead help lists the commands.`)
      return 2
    }
    // That of a FairleadError begins with its code.
    io.err(`fairlead: ${isFairleadError(error) ? error.message : String(error)}`)
    return 1
  }
}
