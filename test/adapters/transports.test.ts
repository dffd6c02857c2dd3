import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createFeed, fileFeedLog, httpFeedTransport } from '../../src/adapters/http-feed/index.ts'
import { chooseTransport, explainChoice, transports } from '../../src/adapters/transports/index.ts'

const names = (needs: Parameters<typeof chooseTransport>[0]) =>
  chooseTransport(needs).fits.map(({ profile: { name } }) => name)

test('each is there once, and says from where it is imported', () => {
  expect(transports.map(({ from }) => from)).toEqual([
    'fairlead/memory',
    'fairlead/http-push',
    'fairlead/http-feed',
    'fairlead/http-feed',
    'fairlead/postgres',
    'fairlead/kafka',
    'fairlead/rabbitmq',
  ])
})

test('the usual questions have the answers that one would give', () => {
  expect(names({ modes: 'queue', persistent: true, order: 'key' })).toEqual(['PostgreSQL', 'Kafka'])
  expect(names({ modes: 'topic', language: 'java', serverAllowed: false, replay: true })).toEqual([
    'HTTP feed',
    'HTTP feed on files',
  ])
  expect(names({ modes: 'topic', standard: 'Standard Webhooks' })).toEqual(['HTTP push'])
  expect(names({ modes: 'queue', latency: 'microseconds' })).toEqual(['memory'])
  expect(names({ messagesPerSecond: 1_000_000_000 })).toEqual([])
})

test('what nearly fits says how it could', () => {
  const choice = chooseTransport({ modes: 'topic', persistent: true, language: 'go', serverAllowed: false })
  expect(choice.fits.map(({ profile: { name } }) => name)).toEqual(['HTTP feed on files'])
  expect(explainChoice(choice)).toContain('persistent: needed yes, promised no; publish through an outbox')
})

test('a feed on files promises what its profile says', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-'))
  const feed = createFeed({ log: await fileFeedLog({ folder }) })
  const profile = transports.find(({ name }) => name === 'HTTP feed on files')
  expect(httpFeedTransport({ feed }).capabilities).toEqual(profile?.capabilities)
  await feed.close()
  rmSync(folder, { recursive: true })
})
