import { EventEmitter } from 'node:events'
import { describe, expect, it } from 'vitest'
import { type ListenState, pgDriver } from '../../../src/adapters/postgres/index.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import { seededRandom } from '../../../src/testing/seeded-random.ts'
import { fakePool } from './fake-pool.ts'

class ListenClient extends EventEmitter {
  readonly seen: string[] = []
  processID = 42
  /** What the server says it is. */
  pid = 42
  silent = false
  refuses: Error | undefined
  ended = 0

  constructor() {
    super()
    this.setMaxListeners(0)
  }

  async connect(): Promise<void> {
    if (this.refuses !== undefined) throw this.refuses
    if (this.silent) await new Promise(() => undefined)
  }
  async query({ text }: { readonly text: string }) {
    this.seen.push(text)
    if (this.silent) await new Promise(() => undefined)
    return { rows: [{ pid: this.pid }], rowCount: 1 }
  }
  async end(): Promise<void> {
    this.ended++
  }
}

const lab = (clients: readonly ListenClient[]) => {
  const clock = fakeClock()
  const states: ListenState['state'][] = []
  let made = 0
  const driver = pgDriver(fakePool(), {
    clock,
    random: seededRandom(1),
    heartbeatMs: 1_000,
    answerWithinMs: 500,
    onListenState: ({ state }) => states.push(state),
    listener: () => clients[Math.min(made++, clients.length - 1)] as ListenClient,
  })
  return { clock, driver, states, made: () => made }
}

describe('listening', () => {
  it('wakes whoever listens to the channel, over one connection', async () => {
    const client = new ListenClient()
    const { driver, made } = lab([client])
    const woken = { a: 0, b: 0 }
    await Promise.all([driver.listen('a', () => woken.a++), driver.listen('Odd "b"', () => woken.b++)])
    expect(client.seen).toContain('listen "Odd ""b"""')
    expect(woken).toEqual({ a: 1, b: 1 })
    client.emit('notification', { channel: 'a' })
    client.emit('notification', { channel: 'other' })
    expect(woken).toEqual({ a: 2, b: 1 })
    expect(made()).toBe(1)
    await driver.close()
  })
  it('asks one thing at a time, whoever comes and goes at once', async () => {
    const client = new ListenClient()
    let asking = 0
    let most = 0
    const query = client.query.bind(client)
    client.query = async (asked) => {
      most = Math.max(most, ++asking)
      await new Promise((resolve) => setImmediate(resolve))
      asking--
      return query(asked)
    }
    const { driver } = lab([client])
    await driver.listen('first', () => undefined)
    const names = ['a', 'b', 'c', 'd']
    const ends = await Promise.all(names.map((name) => driver.listen(name, () => undefined)))
    await Promise.all(ends.map((end) => end()))
    expect(most).toBe(1)
    expect(client.seen.slice(-4).toSorted()).toEqual(names.map((name) => `unlisten "${name}"`))
    await driver.close()
  })
  it('finds a half-open connection by its heartbeat, connects anew, and wakes everybody: something may have been missed', async () => {
    const [first, second] = [new ListenClient(), new ListenClient()]
    const { driver, clock, states } = lab([first, second])
    let woken = 0
    await driver.listen('a', () => woken++)
    await clock.advance(3_500)
    expect(first.seen.filter((text) => text === 'select 1')).toHaveLength(3)
    expect(states).toEqual(['listening'])
    first.silent = true
    // One heartbeat and one wait for its answer, and the pause of at most 100 ms.
    await clock.advance(1_000 + 500 + 100)
    expect(states).toEqual(['listening', 'lost', 'listening'])
    expect(first.ended).toBe(1)
    expect(second.seen).toContain('listen "a"')
    expect(woken).toBe(2)
    second.emit('notification', { channel: 'a' })
    expect(woken).toBe(3)
    await driver.close()
    expect(clock.pending).toBe(0)
  })
  it.each(['error', 'end'])('connects anew at once when the connection says %s', async (event) => {
    const [first, second] = [new ListenClient(), new ListenClient()]
    const { driver, clock, states } = lab([first, second])
    await driver.listen('a', () => undefined)
    first.emit(event, new Error('Connection terminated unexpectedly'))
    await clock.advance(100)
    expect(states).toEqual(['listening', 'lost', 'listening'])
    await driver.close()
  })
  it('keeps trying with growing pauses while the server is away, also the first time', async () => {
    const away = new ListenClient()
    away.refuses = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', syscall: 'connect' })
    const { driver, clock, states, made } = lab([away])
    let woken = 0
    await driver.listen('a', () => woken++)
    expect(states).toEqual(['lost'])
    await clock.advance(20_000)
    // Full jitter to 5 s: about two and a half seconds each in the end.
    expect(made()).toBeGreaterThan(8)
    expect(made()).toBeLessThan(30)
    away.refuses = undefined
    await clock.advance(5_000)
    expect(states.at(-1)).toBe('listening')
    expect(woken).toBe(1)
    await driver.close()
  })
  it('lets nobody wait for the next attempt who comes between two', async () => {
    const away = new ListenClient()
    away.refuses = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', syscall: 'connect' })
    const { driver, clock, made } = lab([away])
    await driver.listen('a', () => undefined)
    await clock.advance(20_000)
    const before = [clock.now(), made()]
    const woken = { b: 0, c: 0 }
    // With a time that stands still, one that waited for the pause would never resolve.
    const [leaveB] = await Promise.all([driver.listen('b', () => woken.b++), driver.listen('c', () => woken.c++)])
    expect([clock.now(), made()]).toEqual(before)
    await leaveB()
    away.refuses = undefined
    await clock.advance(5_000)
    expect(woken).toEqual({ b: 0, c: 1 })
    expect(away.seen.filter((text) => text.startsWith('listen'))).toEqual(['listen "a"', 'listen "c"'])
    await driver.close()
  })
  it('gives up a connection that is never set up', async () => {
    const client = new ListenClient()
    client.silent = true
    const { driver, clock, states } = lab([client])
    const listening = driver.listen('a', () => undefined)
    await clock.advance(500)
    await listening
    expect(states).toEqual(['lost'])
    await driver.close()
  })
  it('says that a pooler passes no notifications, and does not try again', async () => {
    const client = new ListenClient()
    client.pid = 7
    const { driver, clock, states, made } = lab([client])
    const refused = { code: 'CAPABILITY_MISSING' }
    const both = await Promise.allSettled([driver.listen('a', () => undefined), driver.listen('c', () => undefined)])
    expect(both).toMatchObject([{ reason: refused }, { reason: refused }])
    await expect(driver.listen('b', () => undefined)).rejects.toMatchObject(refused)
    await clock.advance(60_000)
    expect(states).toEqual(['unavailable'])
    expect([made(), client.ended, clock.pending]).toEqual([1, 1, 0])
    await driver.close()
  })
  it('ends the connection when nobody listens any more, and begins anew when somebody does', async () => {
    const client = new ListenClient()
    const { driver, clock, made } = lab([client])
    const [unA, unA2] = [await driver.listen('a', () => undefined), await driver.listen('a', () => undefined)]
    const unB = await driver.listen('b', () => undefined)
    await unB()
    expect(client.seen.at(-1)).toBe('unlisten "b"')
    await unA()
    await unA()
    expect(client.ended).toBe(0)
    await unA2()
    expect([client.ended, clock.pending]).toEqual([1, 0])
    await driver.listen('a', () => undefined)
    expect(made()).toBe(2)
    await driver.close()
    await expect(driver.listen('a', () => undefined)).rejects.toMatchObject({ code: 'SHUTDOWN' })
  })
  it('keeps the others awake when one throws', async () => {
    const client = new ListenClient()
    const { driver } = lab([client])
    let woken = 0
    await driver.listen('a', () => {
      throw new Error('mine')
    })
    await driver.listen('a', () => woken++)
    client.emit('notification', { channel: 'a' })
    expect(woken).toBe(1)
    await driver.close()
  })
  it('listens to what is asked for while it connects', async () => {
    const [first, second] = [new ListenClient(), new ListenClient()]
    first.silent = true
    const { driver, clock } = lab([first, second])
    const woken = { a: 0, b: 0 }
    const listening = [driver.listen('a', () => woken.a++), driver.listen('b', () => woken.b++)]
    await clock.advance(500)
    await Promise.all(listening)
    await clock.advance(100)
    expect(second.seen).toEqual([expect.stringContaining('pid'), 'listen "a"', 'listen "b"'])
    expect(woken).toEqual({ a: 1, b: 1 })
    await driver.close()
  })
  it('does not wait for others who come while the last one leaves', async () => {
    const [first, second] = [new ListenClient(), new ListenClient()]
    const { driver } = lab([first, second])
    const leaving = (await driver.listen('a', () => undefined))()
    const coming = driver.listen('b', () => undefined)
    await Promise.all([leaving, coming])
    expect([first.ended, second.seen.at(-1)]).toEqual([1, 'listen "b"'])
    await driver.close()
  })
  it('closes at once while it connects', async () => {
    const away = new ListenClient()
    away.silent = true
    const other = lab([away])
    const listening = other.driver.listen('a', () => undefined)
    await other.clock.advance(10)
    await other.driver.close()
    await listening
    expect(other.clock.now()).toBe(10)
  })
})
