// Carries out faults: each waits for the place where it strikes, does its worst, and leaves the world as it was.
import type { Fleet } from './fleet.ts'
import type { Ground } from './ground.ts'
import type { PlannedFault } from './plan.ts'
import { type Hook, LEASE_MS, type Reported } from './words.ts'

interface Heard {
  readonly name: string
  readonly what: Reported
}

/** How long somebody is waited for who should come to a place. */
const PATIENCE_MS = 20_000

export class Faults {
  readonly fencing: string[] = []
  readonly counts: Record<string, number> = {}
  missed = 0
  ready = 0
  readonly #fleet: Fleet
  readonly #ground: Ground
  readonly #log: (line: string) => void
  readonly #epochs = new Map<number, bigint>()
  #listeners: ((heard: Heard) => void)[] = []

  constructor(fleet: Fleet, ground: Ground, log: (line: string) => void) {
    this.#fleet = fleet
    this.#ground = ground
    this.#log = log
  }

  hear(name: string, what: Reported): void {
    if (what.is === 'ready') this.ready++
    if (what.is === 'leased')
      for (const [partition, epoch] of what.epochs)
        if (BigInt(epoch) > (this.#epochs.get(partition) ?? -1n)) this.#epochs.set(partition, BigInt(epoch))
    for (const listener of this.#listeners) listener({ name, what })
  }

  /** Waits for a condition, and goes on without it when the time is up. */
  async until(holds: () => boolean | Promise<boolean>, withinMs: number): Promise<boolean> {
    const end = performance.now() + withinMs
    while (!(await holds())) {
      if (performance.now() > end) return false
      await pause(100)
    }
    return true
  }

  async strike({ fault, chance }: PlannedFault): Promise<void> {
    const happened = await this.#strike(fault, chance)
    if (happened) this.counts[fault] = (this.counts[fault] ?? 0) + 1
    else this.missed++
  }

  /** Everybody runs, and everything flows. */
  async mend(): Promise<void> {
    for (const role of ['relay', 'consumer', 'producer'] as const)
      for (const name of this.#fleet.names(role)) this.#fleet.goOn(name)
    for (const proxy of this.#ground.proxies) await proxy.mend()
  }

  async #strike(fault: PlannedFault['fault'], chance: number): Promise<boolean> {
    const fleet = this.#fleet
    const pick = (role: 'relay' | 'consumer' | 'producer'): string => {
      const names = fleet.names(role)
      return names[Math.floor(chance * names.length)] as string
    }
    switch (fault) {
      case 'kill a relay':
        return this.#killed(pick('relay'))
      case 'kill a consumer':
        return this.#killed(pick('consumer'))
      case 'kill a producer':
        return this.#killed(pick('producer'))
      case 'kill a relay between publish and mark':
        return (await this.#lead(pick('relay'), 'kill-before-mark')) !== undefined
      case 'kill a consumer between commit and ack':
        return (await this.#lead(pick('consumer'), 'kill-before-ack')) !== undefined
      case 'stop a relay before its mark until its lease is over':
        return this.#zombie(pick('relay'))
      case 'stop a consumer before its ack until its lease is over':
        return this.#stand(pick('consumer'), 'stop-before-ack')
      case 'stop a consumer in a handler until its lease is over':
        return this.#stand(pick('consumer'), 'stop-in-handler')
      case 'restart the database':
        await this.#ground.restart(false)
        return true
      case 'restart the database as by a power cut':
        await this.#ground.restart(true)
        return true
      case 'restart the broker':
      case 'kill the broker':
        await this.#ground.broker?.restart(fault === 'kill the broker')
        return this.#ground.broker !== undefined
      case 'cut all connections':
        return this.#spoil(async (proxy) => proxy.refuse(), 200 + chance * 1_500)
      case 'swallow what connections carry':
        return this.#spoil(
          async (proxy) => {
            await proxy.toxic('timeout', { timeout: 0 })
            await proxy.toxic('timeout', { timeout: 0 }, 'upstream')
          },
          1_000 + chance * 4_000,
        )
      case 'slow connections down':
        return this.#spoil((proxy) => proxy.toxic('latency', { latency: 150, jitter: 100 }), 1_000 + chance * 2_000)
    }
  }

  #killed(name: string): boolean {
    this.#fleet.kill(name)
    return true
  }

  async #spoil(how: (proxy: Ground['proxies'][number]) => Promise<void>, ms: number): Promise<boolean> {
    for (const proxy of this.#ground.proxies) await how(proxy)
    await pause(ms)
    for (const proxy of this.#ground.proxies) await proxy.mend()
    return true
  }

  // Arms a process, and waits until it is where it kills or stops itself.
  async #lead(name: string, hook: Hook): Promise<readonly number[] | undefined> {
    const arrived = this.#next((heard) => heard.name === name && heard.what.is === 'at' && heard.what.hook === hook)
    // It may have just been started, and not listen yet.
    const asking = setInterval(() => this.#fleet.ask(name, { do: 'arm', hook }), 1_000)
    this.#fleet.ask(name, { do: 'arm', hook })
    const heard = await arrived
    clearInterval(asking)
    return heard?.what.is === 'at' ? heard.what.partitions : undefined
  }

  async #stand(name: string, hook: Hook): Promise<boolean> {
    const stopped = (await this.#lead(name, hook)) !== undefined
    if (stopped) await pause(LEASE_MS * 1.5)
    this.#fleet.goOn(name)
    return stopped
  }

  /**
   * A relay stands still between publish and mark until another one holds its partitions, has published the same again, and is about to mark as well. Then the
   * first goes on, and must change nothing.
   */
  async #zombie(name: string): Promise<boolean> {
    const partitions = await this.#lead(name, 'stop-before-mark')
    if (partitions === undefined) return false
    const others = this.#fleet.names('relay').filter((each) => each !== name)
    const taken = this.#next(
      (heard) => heard.name !== name && heard.what.is === 'at' && heard.what.hook === 'stop-before-mark',
    )
    const arm = (): void => {
      for (const other of others) this.#fleet.ask(other, { do: 'arm', hook: 'stop-before-mark', partitions })
    }
    arm()
    const arming = setInterval(arm, 1_000)
    const second = await taken
    clearInterval(arming)
    for (const other of others) this.#fleet.ask(other, { do: 'arm', hook: 'stop-before-mark', partitions: [] })
    const current = new Map(this.#epochs)
    const marked = this.#next((heard) => heard.name === name && heard.what.is === 'marked')
    this.#fleet.goOn(name)
    const heard = await marked
    for (const other of others) this.#fleet.goOn(other)
    if (heard?.what.is !== 'marked') return false
    const { count, rows } = heard.what
    const held = rows.filter(([partition, epoch]) => BigInt(epoch) >= (current.get(partition) ?? 0n)).length
    if (count > held)
      this.fencing.push(`${name} marked ${count} rows, and held the partitions of only ${held} of ${rows.length}`)
    if (held === rows.length) this.#log(`  ${name} still held all that it marked`)
    return second !== undefined
  }

  #next(fits: (heard: Heard) => boolean): Promise<Heard | undefined> {
    return new Promise((resolve) => {
      const done = (heard: Heard | undefined): void => {
        clearTimeout(timer)
        this.#listeners = this.#listeners.filter((each) => each !== listener)
        resolve(heard)
      }
      const listener = (heard: Heard): void => {
        if (fits(heard)) done(heard)
      }
      const timer = setTimeout(() => done(undefined), PATIENCE_MS)
      this.#listeners.push(listener)
    })
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
