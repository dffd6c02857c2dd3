// What stands between a source and the API server: lets everything through, or nothing, or late. TLS goes through it untouched.
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { ServerAddress } from '../../services/servers.ts'

interface Pair {
  readonly near: Socket
  readonly far: Socket
}

/** A gate before one server. */
export class Gate {
  port = 0
  slowMs = 0
  #frozen = false
  readonly #to: ServerAddress
  readonly #pairs = new Set<Pair>()
  #server: Server | undefined

  constructor(to: ServerAddress) {
    this.#to = to
  }

  get url(): string {
    return `https://127.0.0.1:${this.port}`
  }

  get open(): number {
    return this.#pairs.size
  }

  async listen(): Promise<void> {
    const server = createServer((near) => {
      const far = connect(this.#to.port, this.#to.host)
      const pair = { near, far }
      this.#pairs.add(pair)
      near.setNoDelay(true)
      far.setNoDelay(true)
      this.#carry(near, far, 0)
      this.#carry(far, near, this.slowMs)
      const end = (): void => {
        // While frozen nobody learns that the other one has gone.
        if (this.#frozen && !near.destroyed) return
        this.#pairs.delete(pair)
        near.destroy()
        far.destroy()
      }
      near.on('close', end).on('error', end)
      far.on('close', end).on('error', end)
    })
    await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
    this.port = (server.address() as AddressInfo).port
    this.#server = server
  }

  #carry(from: Socket, to: Socket, lateMs: number): void {
    from.on('data', (piece) => {
      if (this.#frozen) return
      if (lateMs === 0) to.write(piece)
      else setTimeout(() => to.write(piece), lateMs)
    })
  }

  /** Swallows everything, both ways, and hides the end of connections; answers how to end it: connections of that time are lost then. */
  freeze(): () => void {
    this.#frozen = true
    return () => {
      this.#frozen = false
      this.cut()
    }
  }

  /** From now on connections work; those that were frozen stay silent for ever. */
  thaw(): void {
    this.#frozen = false
  }

  cut(): void {
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy()
      far.destroy()
    }
    this.#pairs.clear()
  }

  async close(): Promise<void> {
    this.#frozen = false
    this.cut()
    await new Promise((resolve) => this.#server?.close(resolve) ?? resolve(undefined))
  }
}
