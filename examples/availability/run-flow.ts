// One flow in a process of its own: `run-flow.ts <index> <setting as JSON>` prints its figures.
import { FLOWS } from './flows.ts'
import { type Setting, simulate } from './simulate.ts'
import { tally } from './tally.ts'

const [index = '', given = ''] = process.argv.slice(2)
const flow = FLOWS[Number(index)]
if (flow === undefined) throw new Error(`there is no flow ${index}`)
const setting = JSON.parse(given) as Setting
const figures = tally(await simulate(flow, setting), setting)
process.stdout.write(JSON.stringify(figures))
