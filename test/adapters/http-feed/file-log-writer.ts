// A process that appends without end and says what was accepted, until it is killed.
import { fileFeedLog } from '../../../src/adapters/http-feed/index.ts'

const [folder = ''] = process.argv.slice(2)
const log = await fileFeedLog({ folder, segmentBytes: 20_000 })
let next = (log.bounds('orders')?.next ?? 1) - 1
const one = async (): Promise<void> => {
  const id = next++
  await log.append('orders', [JSON.stringify({ id: `${process.pid}/${id}`, fill: 'x'.repeat(id % 700) })])
  process.stdout.write(`${process.pid}/${id}\n`)
  await one()
}
await Promise.all(Array.from({ length: 8 }, one))
