// npm run demo:availability [-- --seed 7 --orders 50000 --check --json]: takes the same orders in four ways while each of three services is down 0.5 % of the time, and counts.
// With the seed and size of the guide it writes the guide's table and plot; with --check it writes nothing, and ends with 1 where something is not as predicted, or the guide is not up to date.
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { FLOWS, STANDARD } from './flows.ts'
import { inGuide } from './guide.ts'
import { plot } from './plot.ts'
import { described, deviations, markdown, percent, textTable, told } from './report.ts'
import { sideBySide } from './side-by-side.ts'
import type { Setting } from './simulate.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    orders: { type: 'string' },
    check: { type: 'boolean' },
    json: { type: 'boolean' },
  },
})
const setting: Setting = {
  ...STANDARD,
  seed: wholeNumber('seed', values.seed, STANDARD.seed),
  orders: wholeNumber('orders', values.orders, STANDARD.orders),
}
const say = values.json === true ? (): void => {} : console.log

say(`${described(setting)}\n`)
const began = performance.now()
const tallies = await sideBySide(setting, ({ name }) =>
  say(`  ${name}: done after ${((performance.now() - began) / 1_000).toFixed(0)} s`),
)
say(`\n${textTable(tallies)}`)
for (const { name, accepted, refusals, because, longest, down, unheard } of tallies) {
  say(`\n${name}: ${percent(1 - accepted.observed)} of the orders were not accepted`)
  say(`  told instead: ${told(refusals)}`)
  say(`  down at that time: ${told(because)}`)
  if (unheard > 0) say(`  ${unheard} of them were done all the same: the answer was lost on its way`)
  say(`  longest wait: ${longest.why}`)
  if (name === FLOWS[0]?.name)
    say(
      `  share of the run that each was down: ${Object.entries(down)
        .map(([service, share]) => `${service} ${percent(share)}`)
        .join(', ')}`,
    )
}
say(`
What this says: who needs nobody but himself to answer is as available as himself; who calls two others first is as available as all three at once.
What it does not say:
  - Broker and databases are never down here. Yours are, and what is said of the last three flows is to be multiplied by that.
  - Outages are independent. Where one cause takes all three down (a network, a release, a region), the chain loses less, and the others win less.
  - The chain does not retry. Retries that outlast an outage turn refusals into waiting, with every caller above waiting too.
  - An accepted order is not a validated one: the customer has to live with PENDING, and with a refusal that comes later. A replica may decide on what is no longer so.
Read on: docs/availability.md, docs/finish-after-the-response.md, docs/sagas.md, docs/replicas.md, docs/crash-test.md`)

const wrong = [...deviations(tallies, setting)]
if (setting.seed === STANDARD.seed && setting.orders === STANDARD.orders) {
  const docs = new URL('../../docs/', import.meta.url)
  const guide = readFileSync(new URL('availability.md', docs), 'utf8')
  const wanted = { 'availability.svg': plot(tallies), 'availability.md': inGuide(guide, markdown(tallies, setting)) }
  for (const [file, text] of Object.entries(wanted)) {
    if (values.check !== true) writeFileSync(new URL(file, docs), text)
    else if (readFileSync(new URL(file, docs), 'utf8') !== text)
      wrong.push(`docs/${file} is not up to date: npm run demo:availability`)
  }
}
if (values.json === true) {
  const figures = tallies.map(({ delays: _, ...rest }) => rest)
  console.log(JSON.stringify({ setting, flows: figures, wrong }))
}
for (const each of wrong) say(`\n✘ ${each}`)
if (wrong.length === 0) say('\n✔ Everything is as predicted.')
if (values.check === true && wrong.length > 0) process.exitCode = 1

function wholeNumber(option: string, given: string | undefined, otherwise: number): number {
  const number = given === undefined ? otherwise : Number(given)
  if (!Number.isSafeInteger(number) || number < 1) throw new Error(`--${option} ${given}: give a whole number from 1`)
  return number
}
