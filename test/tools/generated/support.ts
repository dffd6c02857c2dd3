// docs/support.md: what each transport promises, from the descriptors, and which case of the suite proves it.
import { transports } from '../../../src/adapters/transports/index.ts'
import type { TransportCapabilities } from '../../../src/core/contracts/transport.ts'
import { transportCases } from '../../../src/testing/index.ts'

export const path = 'docs/support.md'

const MEANING: { readonly [K in keyof TransportCapabilities]: string } = {
  modes: 'queues, topics',
  order: 'order that is kept',
  delivery: 'delivery',
  persistent: 'survives a restart of the broker',
  durableSubscriptions: 'a group that was away gets what was sent meanwhile',
  acknowledged: 'what an accepted send means',
  competingConsumers: 'each message goes to one member of a group; with one order for the channel they take turns',
  dedupeWindowMs: 'a second send of an id is refused within',
  redeliveryCount: 'who counts redeliveries',
  delay: 'delay of a send or a retry',
  maxDelayMs: 'longest delay',
  extend: 'a lease can be extended',
  nack: 'what a retry does to later messages of the key',
  priority: 'priorities',
  replay: 'replay from the past',
  temporary: 'private places for replies',
  deadLetters: 'dead letters, redrive',
  unroutable: 'a send to nowhere',
  waiting: 'messages that wait for a trigger',
  maxPayloadBytes: 'largest message by default',
  latency: 'latency',
  scaleUnit: 'spreads by',
  protocols: 'protocols',
}

const shown = (name: string, value: unknown): string => {
  if (value === true) return 'yes'
  if (value === false || value === 'none' || (Array.isArray(value) && value.length === 0)) return '-'
  if (name.endsWith('Ms')) return value === 0 ? '-' : duration(value as number)
  if (name === 'maxPayloadBytes') return size(value as number)
  return Array.isArray(value) ? value.join(', ') : String(value)
}

const size = (bytes: number): string =>
  bytes % 1_000_000 === 0
    ? `${bytes / 1_000_000} MB`
    : bytes < 1_048_576
      ? `${bytes / 1_024} KiB`
      : `${bytes / 1_048_576} MiB`

const duration = (ms: number): string => {
  if (!Number.isFinite(ms)) return 'any'
  const days = ms / 86_400_000
  return days >= 1 ? `${Math.floor(days).toLocaleString('en-US')} days` : `${(ms / 1_000).toLocaleString('en-US')} s`
}

const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`

export const render = (): string => {
  // Most cases are run on queues and on topics: named once.
  const proofs = (line: string): readonly string[] => [
    ...new Set(
      transportCases
        .filter(({ proves }) => proves.some((claim) => claim.split('=')[0] === line))
        .map(({ name }) => name.replace(/^(queue|topic): /, '')),
    ),
  ]
  const names = Object.keys(MEANING) as (keyof TransportCapabilities)[]
  const claimOf: Readonly<Record<string, string>> = { modes: 'mode', dedupeWindowMs: 'dedupe' }
  return `# What each transport promises

Made by \`npm run generate\` from the descriptors in \`src\`: do not edit. Every line that is promised is proven by \`testTransport\` on the real thing; a promise without a case that passed fails the build.
\`requireCapabilities(transport, needs)\` holds your needs against a transport at start-up, \`chooseTransport(needs)\` of \`fairlead/transports\` against all of them.

${row(['', ...transports.map(({ name }) => name)])}
${row(['---', ...transports.map(() => '---')])}
${row(['import from', ...transports.map(({ from }) => `\`${from}\``)])}
${row(['needs a server', ...transports.map(({ server }) => server ?? '-')])}
${row(['other languages', ...transports.map(({ languages }) => (languages === 'any' ? 'any' : languages.join(', ')))])}
${names.map((name) => row([`${MEANING[name]} (\`${name}\`)`, ...transports.map(({ capabilities }) => shown(name, capabilities[name]))])).join('\n')}
${row(['messages a second, about', ...transports.map(({ messagesPerSecond }) => messagesPerSecond.toLocaleString('en-US'))])}

These are the promises with default options. Options change some of them; \`transport.capabilities\` then says what holds.

${transports.map(({ name, note }) => `- **${name}**: ${note}.`).join('\n')}

## What proves a promise

${row(['promise', 'cases of the suite'])}
${row(['---', '---'])}
${names
  .map((name) => [name, proofs(claimOf[name] ?? name)] as const)
  .filter(([, cases]) => cases.length > 0)
  .map(([name, cases]) => row([`\`${name}\``, cases.join('; ')]))
  .join('\n')}
`
}
