import { EventEmitter } from 'node:events'
import { describe, expect, it } from 'vitest'
import { discard } from '../../src/core/discard.ts'

class Request extends EventEmitter {
  resumed = 0
  destroyed = 0
  resume(): void {
    this.resumed++
  }
  destroy(): void {
    this.destroyed++
  }
}

describe('discard', () => {
  it('reads on, and breaks off behind eight times the limit', () => {
    const request = new Request()
    discard(request, 10)
    expect(request.resumed).toBe(1)
    request.emit('data', new Uint8Array(80))
    expect(request.destroyed).toBe(0)
    request.emit('data', new Uint8Array(1))
    expect(request.destroyed).toBe(1)
  })
})
