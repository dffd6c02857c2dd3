// The flows know nothing of one another: each runs in a process of its own, as many at once as there are processors.
import { type ChildProcess, spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { FLOWS } from './flows.ts'
import type { Setting } from './simulate.ts'
import type { Tally } from './tally.ts'

const children = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

/** The figures of all flows, in their order. */
export async function sideBySide(setting: Setting, ended: (tally: Tally) => void): Promise<readonly Tally[]> {
  const tallies: Tally[] = []
  // The last ones take longest: they begin first.
  const left = [...FLOWS.keys()]
  const work = async (): Promise<void> => {
    for (let index = left.pop(); index !== undefined; index = left.pop()) {
      const made = await inProcess(index, setting)
      tallies[index] = made
      ended(made)
    }
  }
  await Promise.all(Array.from({ length: Math.min(FLOWS.length, availableParallelism()) }, work))
  return tallies
}

function inProcess(index: number, setting: Setting): Promise<Tally> {
  const program = fileURLToPath(new URL('run-flow.ts', import.meta.url))
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--import', 'tsx', program, String(index), JSON.stringify(setting)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    children.add(child)
    const printed: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => void printed.push(chunk))
    child.once('error', reject)
    child.once('close', (code) => {
      children.delete(child)
      if (code === 0) resolve(JSON.parse(Buffer.concat(printed).toString()) as Tally)
      else reject(new Error(`${FLOWS[index]?.name} ended with ${code}`))
    })
  })
}
