// The services of the demo as processes: started, asked, and ended with it however it ends.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Ask, Mood, Seen } from './service.ts'

/** A service that runs. */
export interface Running {
  readonly child: ChildProcess
  readonly host: string
  readonly port: number
}

const children: ChildProcess[] = []
process.on('exit', killAll)

/** Leaves none of them. */
export function killAll(): void {
  for (const child of children) child.kill('SIGKILL')
}

/** Starts `<service>.ts`; resolves once it listens. */
export async function start(service: string, argument: object): Promise<Running> {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', fileURLToPath(new URL(`${service}.ts`, import.meta.url)), JSON.stringify(argument)],
    {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    },
  )
  children.push(child)
  const ready = await Promise.race([once(child, 'message'), once(child, 'exit').then(() => undefined)])
  if (ready === undefined) throw new Error(`${service} did not start`)
  return { child, ...(ready[0] as { host: string; port: number }) }
}

/** Asks a service for what it saw, or tells it how to behave. */
export async function ask<T>(child: ChildProcess, what: Ask): Promise<T> {
  const answer = once(child, 'message')
  child.send(what)
  return (await answer)[0] as T
}

/** Those that still run. */
export const alive = (all: readonly ChildProcess[]): ChildProcess[] =>
  all.filter((child) => child.exitCode === null && child.signalCode === null)
/** How they behave from now on. */
export const setMood = async (all: readonly ChildProcess[], mood: Mood): Promise<void> =>
  void (await Promise.all(alive(all).map((child) => ask(child, { mood }))))

/** What all instances of a service saw together since it was last asked. */
export async function seen(all: readonly ChildProcess[]): Promise<Seen> {
  const each = await Promise.all(alive(all).map((child) => ask<Seen>(child, { seen: 'and forget' })))
  return {
    ...each.at(-1),
    requests: sum(each.map((one) => one.requests)),
    peak: sum(each.map((one) => one.peak)),
    released: sum(each.map((one) => one['released'] ?? 0)),
  }
}

export const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0)

/** Ends services in good order: what they announced is taken back. */
export async function end(services: readonly ChildProcess[]): Promise<void> {
  const ended = services.map((child) => once(child, 'exit'))
  for (const child of services) child.kill('SIGTERM')
  await Promise.all(ended)
}
