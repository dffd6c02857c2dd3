import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { HandlerContext } from '../../../src/messaging/consumer/types.ts'
import { type StartProcessOptions, startProcess } from '../../../src/messaging/triggers/index.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fairlead-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const MESSAGES = [1, 2].map((n) => ({
  id: `m-${n}`,
  source: 's',
  type: 't',
  version: 1,
  time: 0,
  headers: {},
  data: { n },
}))

// The part of a context that a program needs.
const someContext = () => {
  const listeners: ((reason: unknown) => void)[] = []
  const context = {
    onAbort: (listener: (reason: unknown) => void) => {
      listeners.push(listener)
      return () => void listeners.splice(listeners.indexOf(listener), 1)
    },
  } as HandlerContext
  return { context, listeners, abort: () => void [...listeners].map((listener) => listener('over')) }
}
const run = (script: string, options: StartProcessOptions = {}, context = someContext().context) =>
  startProcess(process.execPath, { args: ['-e', script], output: 'ignore', ...options })(
    MESSAGES as never,
    context,
  ) as Promise<unknown>

describe('startProcess', () => {
  test('gives the program its messages, a line each, and is done when it ends well', async () => {
    const file = join(folder, 'in')
    const { context, listeners } = someContext()
    const copy = `require('node:fs').writeFileSync(${JSON.stringify(file)}, require('node:fs').readFileSync(0))`
    expect(await run(copy, {}, context)).toBeUndefined()
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line))).toEqual(MESSAGES)
    expect(listeners).toEqual([])
  })

  test('a program that ends badly: a failure that may go away, with its last words', async () => {
    await expect(run('console.error("no disk"); process.exit(3)')).rejects.toMatchObject({
      code: 'CALL_FAILED',
      transient: true,
      effect: 'unknown',
      message: expect.stringContaining('ended with 3: no disk'),
      details: { exitCode: 3 },
    })
    await expect(run('process.kill(process.pid, "SIGKILL")')).rejects.toMatchObject({
      message: expect.stringContaining('ended with SIGKILL: it said nothing'),
    })
  })

  test('bad data (65): the messages are dead, and never come again', async () => {
    expect(await run('console.error("line 2"); process.exit(65)')).toMatchObject({
      outcome: 'dead',
      reason: expect.stringContaining('line 2'),
    })
  })

  test('a program that is not there: nothing was done, and the messages are not to blame', async () => {
    const missing = startProcess(join(folder, 'missing'))(MESSAGES as never, someContext().context)
    await expect(missing).rejects.toMatchObject({ code: 'CALL_FAILED', effect: 'none', transient: true })
  })

  test('one that does not read its input is judged by its exit code alone', async () => {
    const many = Array.from({ length: 5_000 }, () => ({ ...MESSAGES[0], data: 'x'.repeat(200) }))
    const ends = startProcess(process.execPath, { args: ['-e', 'process.exit(0)'], output: 'ignore' })
    expect(await ends(many as never, someContext().context)).toBeUndefined()
  })

  test('is ended when its time is over, first kindly', async () => {
    const file = join(folder, 'bye')
    const ready = join(folder, 'ready')
    const script = `const fs = require('node:fs')
      process.on('SIGTERM', () => { fs.writeFileSync(${JSON.stringify(file)}, 'bye'); process.exit(1) })
      fs.writeFileSync(${JSON.stringify(ready)}, ''); setInterval(() => {}, 1000)`
    const { context, abort } = someContext()
    const running = run(script, { input: 'none' }, context)
    running.catch(() => {})
    await until(() => readFileSync(ready))
    abort()
    await expect(running).rejects.toMatchObject({ code: 'CALL_FAILED' })
    expect(readFileSync(file, 'utf8')).toBe('bye')
  })

  test('and then by force', async () => {
    const ready = join(folder, 'ready')
    const script = `process.on('SIGTERM', () => {}); require('node:fs').writeFileSync(${JSON.stringify(ready)}, ''); setInterval(() => {}, 1000)`
    const { context, abort } = someContext()
    const running = run(script, { input: 'none', graceMs: 1 }, context)
    running.catch(() => {})
    await until(() => readFileSync(ready))
    abort()
    await expect(running).rejects.toMatchObject({ details: { signal: 'SIGKILL' } })
  })

  test('is done when the program is, whatever that has left running', async () => {
    const file = join(folder, 'pid')
    const script = `const { spawn } = require('node:child_process')
      const left = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' })
      require('node:fs').writeFileSync(${JSON.stringify(file)}, String(left.pid))
      left.unref()
      process.exit(0)`
    expect(await run(script)).toBeUndefined()
    const left = Number(readFileSync(file, 'utf8'))
    expect(alive(left)).toBe(true)
    process.kill(left, 'SIGKILL')
  })

  test('what the program has started ends with it', async () => {
    const file = join(folder, 'pid')
    const script = `const { spawn } = require('node:child_process')
      const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' })
      require('node:fs').writeFileSync(${JSON.stringify(file)}, String(child.pid))
      setInterval(() => {}, 1000)`
    const { context, abort } = someContext()
    const running = run(script, { input: 'none' }, context)
    running.catch(() => {})
    await until(() => {
      if (readFileSync(file, 'utf8') === '') throw new Error('not written yet')
    })
    const child = Number(readFileSync(file, 'utf8'))
    abort()
    await expect(running).rejects.toMatchObject({ details: { signal: 'SIGTERM' } })
    await until(() => {
      if (alive(child)) throw new Error('still there')
    })
  })

  test('data that JSON cannot carry starts nothing', async () => {
    const file = join(folder, 'started')
    const touch = startProcess(process.execPath, {
      args: ['-e', `require('node:fs').writeFileSync(${JSON.stringify(file)}, '')`],
    })
    await expect(touch([{ ...MESSAGES[0], data: 1n }] as never, someContext().context)).rejects.toThrow(TypeError)
    expect(() => readFileSync(file)).toThrow()
  })

  test.each<[() => unknown, RegExp]>([
    [() => startProcess(''), /command/],
    [() => startProcess('x', { args: 'a b' as never }), /startProcess\.args/],
    [() => startProcess('x', { input: 'csv' as never }), /startProcess\.input/],
    [() => startProcess('x', { output: 'pipe' as never }), /startProcess\.output/],
    [() => startProcess('x', { graceMs: -1 }), /startProcess\.graceMs/],
    [() => startProcess('x', { shell: true } as never), /startProcess\.shell/],
  ])('bad options name the option: %s', (make, message) => {
    expect(make).toThrow(message)
  })
})

// A zombie that nobody has reaped yet is not alive.
function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' && process.platform !== 'linux'
  }
}

async function until(read: () => unknown): Promise<void> {
  for (;;) {
    try {
      read()
      return
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}
