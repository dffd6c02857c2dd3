// Where the real servers of test/services/up listen. Keep the folders in step with lib.sh.
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs'
import { connect } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Where one server listens. */
export interface ServerAddress {
  readonly host: string
  readonly port: number
}

const repository = realpathSync(fileURLToPath(new URL('../..', import.meta.url)))

const home = (): string => {
  const { FAIRLEAD_HOME, XDG_CACHE_HOME } = process.env
  return FAIRLEAD_HOME || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'fairlead')
}

const stateFolder = (): string =>
  join(home(), 'services', createHash('sha256').update(repository).digest('hex').slice(0, 12))

/** The path of a program that a server's script has built: `<name>-v<version>`; `undefined` if it has not. */
export const builtProgram = (name: string): string | undefined => {
  const folder = join(home(), 'bin')
  const found = existsSync(folder) ? readdirSync(folder).filter((file) => file.startsWith(`${name}-v`)) : []
  const newest = found.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1)
  return newest === undefined ? undefined : join(folder, newest)
}

/** The address that `test/services/up` wrote for a server; `undefined` if it did not start it. */
export const server = (name: string): ServerAddress | undefined => {
  try {
    return JSON.parse(readFileSync(join(stateFolder(), name, 'address.json'), 'utf8')) as ServerAddress
  } catch {
    return undefined
  }
}

/** Whether `test/services/up --background` has left a server to a process of its own: `test/services/wait` says when it is up. */
export const comesLater = (name: string): boolean => existsSync(join(stateFolder(), name, 'builder'))

/** Clients that have to be built, and the server that their suites need. They stand beside the servers in test/services/servers and test/conformance. */
const CLIENTS: Readonly<Record<string, string>> = { confluent: 'kafka' }

/** Whether a suite is about a client that has to be built: nothing waits or fails for want of it. */
export const isOptional = (name: string): boolean => Object.hasOwn(CLIENTS, name)

/** Whether something answers at a server's address now. */
export const serverAnswers = (name: string): Promise<boolean> => {
  const of = CLIENTS[name]
  if (of !== undefined) {
    const wanted = existsSync(join(stateFolder(), name, 'wanted')) && builtProgram(name) !== undefined
    return wanted ? serverAnswers(of) : Promise.resolve(false)
  }
  const address = server(name)
  if (address === undefined) return Promise.resolve(false)
  return new Promise((resolve) => {
    const socket = connect(address.port, address.host)
    const settle = (answers: boolean) => {
      socket.destroy()
      resolve(answers)
    }
    socket
      .once('connect', () => settle(true))
      .once('error', () => settle(false))
      .setTimeout(2_000, () => settle(false))
  })
}
