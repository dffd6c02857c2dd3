// Where the real servers of test/services/up listen. Keep the folders in step with lib.sh.
import { createHash } from 'node:crypto'
import { readFileSync, realpathSync } from 'node:fs'
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

const stateFolder = (): string => {
  const { FAIRLEAD_HOME, XDG_CACHE_HOME } = process.env
  const home = FAIRLEAD_HOME || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'fairlead')
  return join(home, 'services', createHash('sha256').update(repository).digest('hex').slice(0, 12))
}

/** The address that `test/services/up` wrote for a server; `undefined` if it did not start it. */
export const server = (name: string): ServerAddress | undefined => {
  try {
    return JSON.parse(readFileSync(join(stateFolder(), name, 'address.json'), 'utf8')) as ServerAddress
  } catch {
    return undefined
  }
}

/** Whether something answers at a server's address now. */
export const serverAnswers = (name: string): Promise<boolean> => {
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
