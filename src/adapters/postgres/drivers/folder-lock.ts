// An exclusive lock beside a folder, for a database that does not take one itself. Node has no lock that ends with its process, so the
// file says whose it is, and whoever finds the owner dead takes over.
import { randomUUID } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { createError, type FairleadError } from '../../../errors/index.ts'

interface Owner {
  readonly id: string
  readonly host: string
  readonly pid: number
  /** When the process began, where the system tells: numbers of processes come again. */
  readonly began: string
}

/**
 * Takes the lock of a folder, which need not exist yet. Returns the way to let go.
 * @throws FairleadError `CONFLICT` where somebody has it
 */
export function lockFolder(folder: string): () => void {
  const path = `${realPath(folder)}.fairlead-lock`
  const own: Owner = { id: randomUUID(), host: hostname(), pid: process.pid, began: beganOf(process.pid) }
  const mine = `${path}.${own.id}`
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(mine, JSON.stringify(own))
  try {
    // A link is made with its content, or not at all.
    if (!link(mine, path)) takeOver(mine, path)
  } finally {
    rmSync(mine, { force: true })
  }
  return () => {
    if (ownerOf(path)?.id === own.id) rmSync(path, { force: true })
  }
}

function takeOver(mine: string, path: string): void {
  const owner = ownerOf(path)
  if (owner === undefined || isAlive(owner)) throw taken(path, owner)
  // Of all who find the same dead owner one gets this name, and only who has it may replace the lock.
  const claim = `${path}.after-${owner.id}`
  if (!link(path, claim)) throw claimed(path, owner, claim)
  try {
    // Another may have been through all of this in between: then what has been linked is theirs.
    if (ownerOf(claim)?.id !== owner.id) throw taken(path, ownerOf(path))
    renameSync(mine, path)
  } finally {
    rmSync(claim, { force: true })
  }
}

function link(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === 'EEXIST') return false
    throw error
  }
}

function ownerOf(path: string): Owner | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Owner
  } catch {
    return undefined
  }
}

/** Of another machine nobody knows: better refused than two at once. */
function isAlive({ host, pid, began }: Owner): boolean {
  if (host !== hostname()) return true
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as { readonly code?: unknown }).code === 'EPERM'
  }
  return began === '' || began === beganOf(pid)
}

function beganOf(pid: number): string {
  try {
    // After the name of the program, which may have anything in it.
    return (
      readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ')[19] ?? ''
    )
  } catch {
    return ''
  }
}

/** The same folder under two names is one folder. */
function realPath(folder: string): string {
  const path = resolve(folder)
  try {
    return realpathSync(path)
  } catch {
    try {
      return join(realpathSync(dirname(path)), basename(path))
    } catch {
      return path
    }
  }
}

function taken(path: string, owner: Owner | undefined): FairleadError {
  const who = owner === undefined ? 'somebody' : nameOf(owner)
  const elsewhere = owner !== undefined && owner.host !== hostname()
  return conflict(
    `the database folder is in use by ${who} (${path}): two at once would lose data. ${
      elsewhere ? 'Whether it runs cannot be seen from this machine, or this machine had that name before. ' : ''
    }Close the other one's driver; if it is gone for good, delete that file`,
  )
}

// Who makes this file takes the place of the dead one at once, and deletes it: only a crash in between leaves it.
function claimed(path: string, owner: Owner, claim: string): FairleadError {
  return conflict(
    `the database folder was in use by ${nameOf(owner)}, which is gone (${path}), and is about to be in use by another one (${claim}). If nobody is starting now, that one is gone as well: delete both files`,
  )
}

function nameOf({ pid, host }: Owner): string {
  return `process ${pid} on ${host}`
}

function conflict(message: string): FairleadError {
  return createError({ code: 'CONFLICT', effect: 'none', message })
}
