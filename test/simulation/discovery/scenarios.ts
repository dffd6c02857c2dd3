// What goes wrong in a simulation, and how much of it may reach the callers. The first three are those of Linkerd's measurement of 2016
// (11 servers, median 167 ms, 1000 calls a second, one server bad for 30 s of 60 s); the others add servers that queue.

import { seededRandom } from '../../../src/testing/seeded-random.ts'

/** What one server does with a call that arrives now. */
export type Conduct =
  /** So many times slower than usual, or so much later. */
  | { readonly kind: 'answers'; readonly times?: number; readonly laterMs?: number }
  | { readonly kind: 'takes'; readonly ms: number }
  | { readonly kind: 'fails'; readonly afterMs: number }

/** One set of faults. */
export interface Scenario {
  readonly name: string
  readonly words: string
  /** Clients, each with its own view. */
  readonly clients: readonly number[]
  /** How many calls a server works on at once; the others wait their turn there. Absent: as many as there are. */
  slots?(server: number, atMs: number): number
  conduct(server: number, atMs: number): Conduct
  /** Whether the registry lists the server. */
  listed?(server: number, atMs: number): boolean
  /** Calls a second; default 1000. And for how long; default 60 s. */
  readonly rate?: number
  readonly runMs?: number
  /** Median of what a call takes; default 167. */
  readonly medianMs?: number
  /** A call that takes longer than this is bad; default 1000. */
  readonly lateMs?: number
  /** A call that takes longer has failed; absent: the caller waits. */
  readonly timeoutMs?: number
  /** Share of the calls of the default balancer that may fail or be late, by number of clients. */
  readonly gate: Readonly<Record<number, number>>
}

export const SERVERS = 11
export const RATE = 1_000
export const MEDIAN_MS = 167
export const RUN_MS = 60_000

const ANSWERS: Conduct = { kind: 'answers' }
const inTrouble = (atMs: number): boolean => atMs >= 15_000 && atMs < 45_000
const firstIs =
  (conduct: Conduct): Scenario['conduct'] =>
  (server, atMs) =>
    server === 0 && inTrouble(atMs) ? conduct : ANSWERS

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'slow',
    words: 'one server takes 2 s',
    clients: [1, 20],
    conduct: firstIs({ kind: 'takes', ms: 2_000 }),
    gate: { 1: 0.001, 20: 0.0015 },
  },
  {
    name: 'failing',
    words: 'one server fails within 5 ms',
    clients: [1, 20],
    conduct: firstIs({ kind: 'fails', afterMs: 5 }),
    gate: { 1: 0.0003, 20: 0.002 },
  },
  {
    name: 'hanging',
    words: 'one server does not answer; the caller gives up after 1 s',
    clients: [1, 20],
    conduct: firstIs({ kind: 'takes', ms: 10_000 }),
    timeoutMs: 1_000,
    gate: { 1: 0.001, 20: 0.002 },
  },
  {
    name: 'dead',
    words: 'three servers refuse for four of five minutes; 200 calls a second',
    clients: [1, 20],
    rate: 200,
    runMs: 300_000,
    conduct: (server, atMs) =>
      server < 3 && atMs >= 30_000 && atMs < 270_000 ? { kind: 'fails', afterMs: 1 } : ANSWERS,
    gate: { 1: 0.001, 20: 0.012 },
  },
  {
    name: 'most dead',
    words: 'seven of eleven servers refuse: more than may be ejected',
    clients: [1, 20],
    conduct: (server, atMs) => (server < 7 && inTrouble(atMs) ? { kind: 'fails', afterMs: 1 } : ANSWERS),
    gate: { 1: 0.003, 20: 0.02 },
  },
  {
    name: 'pausing',
    words: 'each second one server, any of them, stands still; calls take 10 ms, those above 100 ms are late',
    clients: [1, 20],
    medianMs: 10,
    lateMs: 100,
    conduct: (server, atMs) =>
      Math.floor(seededRandom(Math.floor(atMs / 1_000))() * SERVERS) === server
        ? { kind: 'answers', laterMs: 1_000 - (atMs % 1_000) }
        : ANSWERS,
    gate: { 1: 0.01, 20: 0.035 },
  },
  {
    name: 'queueing',
    words: 'servers work on 24 calls at once, one of them on 8 only',
    clients: [1, 20],
    slots: (server, atMs) => (server === 0 && inTrouble(atMs) ? 8 : 24),
    conduct: () => ANSWERS,
    gate: { 1: 0.001, 20: 0.002 },
  },
  {
    name: 'herd',
    words: 'servers queue; one is new to all 20 clients at once, and three times slower in its first 5 s',
    clients: [20],
    slots: () => 24,
    conduct: (server, atMs) =>
      server === 0 && atMs >= 15_000 && atMs < 20_000 ? { kind: 'answers', times: 3 } : ANSWERS,
    listed: (server, atMs) => server !== 0 || atMs >= 15_000,
    gate: { 20: 0.002 },
  },
]
