// Runs a piece of code in a fresh process, in a folder where fairlead is installed.
import { run } from '../tools/project.ts'

/** The two folders that setup.ts made. */
export const bare = (): string => process.env.FAIRLEAD_BARE ?? ''
export const copies = (): string => process.env.FAIRLEAD_COPIES ?? ''

/** The code runs as a module or a script; what it prints is read as JSON. */
export const inNode = async (cwd: string, kind: 'module' | 'commonjs', code: string): Promise<unknown> => {
  const { code: exit, output } = await run(process.execPath, [`--input-type=${kind}`, '-e', code], {
    cwd,
    env: { NODE_OPTIONS: '', NODE_NO_WARNINGS: '1' },
  })
  if (exit !== 0) throw new Error(`node ended with ${exit}\n${output}`)
  return JSON.parse(output)
}
