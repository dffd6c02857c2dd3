// Answers that come late or never: held until the test releases them, or on the server's clock.
import { type AnyFault, json } from './answers.ts'

const BODY = '{"ok":true}'
const HEADERS = { 'content-type': 'application/json' }

/** Reads the request and then says nothing, until `server.release()`; then answers. Default answer: 200 `{"ok":true}`. */
export function hangBeforeHead(then: AnyFault = json({ ok: true })): AnyFault {
  return {
    level: 'request',
    protocol: 'any',
    name: 'hangBeforeHead',
    async run(exchange) {
      await exchange.hold()
      await then.run(exchange)
    },
  }
}

/** Sends head and `afterBytes` bytes of the body, and the rest after `server.release()`. Default: 1 byte of `{"ok":true}`. */
export function hangInBody(options: { afterBytes?: number | undefined; body?: string | undefined } = {}): AnyFault {
  return {
    level: 'request',
    protocol: 'any',
    name: 'hangInBody',
    async run(exchange) {
      const body = Buffer.from(options.body ?? BODY)
      const first = body.subarray(0, options.afterBytes ?? 1)
      await exchange.begin(200, HEADERS, body.length)
      if (first.length > 0) await exchange.write(first)
      await exchange.hold()
      await exchange.write(body.subarray(first.length))
      await exchange.finish()
    },
  }
}

/**
 * Sends the head, then the body one byte at a time: each byte `everyMs` after the one before on the server's clock,
 * or without `everyMs` when `server.drip()` allows it. `server.release()` lets the rest go. Default body: `{"ok":true}`.
 */
export function slowDrip(options: { everyMs?: number | undefined; body?: string | undefined } = {}): AnyFault {
  return {
    level: 'request',
    protocol: 'any',
    name: 'slowDrip',
    async run(exchange) {
      const body = Buffer.from(options.body ?? BODY)
      await exchange.begin(200, HEADERS, body.length)
      for (let at = 0; at < body.length; at++) {
        if (options.everyMs === undefined) await exchange.nextDrip()
        else await exchange.sleep(options.everyMs)
        await exchange.write(body.subarray(at, at + 1))
      }
      await exchange.finish()
    },
  }
}

/** Waits `ms` on the server's clock, then answers. Default answer: 200 `{"ok":true}`. */
export function delayed(ms: number, then: AnyFault = json({ ok: true })): AnyFault {
  return {
    level: 'request',
    protocol: 'any',
    name: 'delayed',
    async run(exchange) {
      await exchange.sleep(ms)
      await then.run(exchange)
    },
  }
}
