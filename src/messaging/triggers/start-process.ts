// A program as a handler: it is started when its trigger says so, and not kept running in case something comes.
import type { ChildProcess } from 'node:child_process'
import { type Clock, systemClock, type Timer } from '../../core/clock.ts'
import { lazy } from '../../core/lazy.ts'
import { durationOption, invalidOption, knownOptions } from '../../core/options.ts'
import { createError } from '../../errors/classes.ts'
import { dead } from '../consumer/outcomes.ts'
import type { BatchHandler } from '../consumer/types.ts'
import type { MessageTypes } from '../types.ts'

/** Options of `startProcess`. */
export interface StartProcessOptions {
  /** Arguments. No shell reads them. Default none. */
  readonly args?: readonly string[] | undefined
  readonly cwd?: string | undefined
  /** Default: that of this process. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /** `ndjson`: the messages come in on standard input, one JSON object a line (`id type version time key priority headers data ...`). Default `ndjson`. */
  readonly input?: 'ndjson' | 'none' | undefined
  /** Between SIGTERM and SIGKILL when its time is over, milliseconds. Default 5,000. */
  readonly graceMs?: number | undefined
  /** Where its standard output and error go. Default `inherit`. The end of standard error is also in the failure. */
  readonly output?: 'inherit' | 'ignore' | undefined
  readonly clock?: Clock | undefined
}

// Of sysexits.h: the input is bad, and will be bad the next time.
const BAD_DATA = 65
const KEPT = 2_000
const LAST_WORDS_MS = 200

/**
 * Runs a program for each batch. Exit code 0: the messages are done. 65 (`EX_DATAERR`): they are dead. Any other code, or a signal: a failure that can
 * go away, so they come again. When the handler's time is over or the right to the messages is lost, the program is ended, with
 * what it has started (on Windows: the program alone).
 * @throws FairleadError `INVALID_OPTIONS`; the handler: `CALL_FAILED`, with effect `none` for a program that is not there
 * @example createConsumer({ ..., trigger: batchOf(10), batch: startProcess('node', { args: ['import.js'] }), handlerTimeoutMs: 600_000 })
 */
export function startProcess<Types extends MessageTypes>(
  command: string,
  options: StartProcessOptions = {},
): BatchHandler<Types> {
  if (typeof command !== 'string' || command === '') throw invalidOption('command', command, 'give a program')
  knownOptions('startProcess', options, ['args', 'cwd', 'env', 'input', 'graceMs', 'output', 'clock'])
  const { args = [], cwd, env, input = 'ndjson', output = 'inherit', clock = systemClock } = options
  if (!Array.isArray(args)) throw invalidOption('startProcess.args', args, 'give a list of strings')
  if (!['ndjson', 'none'].includes(input)) throw invalidOption('startProcess.input', input, 'give ndjson or none')
  if (!['inherit', 'ignore'].includes(output))
    throw invalidOption('startProcess.output', output, 'give inherit or ignore')
  const graceMs = durationOption('startProcess.graceMs', options.graceMs, 5_000)
  return (messages, context) =>
    new Promise((resolve, reject) => {
      // Before the program is started: data that JSON cannot carry must not leave one running.
      const lines = input === 'none' ? '' : messages.map((message) => `${JSON.stringify(message)}\n`).join('')
      const { spawn } = lazy<typeof import('node:child_process')>('node:child_process')
      const child = spawn(command, args, {
        cwd,
        env: env === undefined ? process.env : { ...env },
        stdio: [input === 'none' ? 'ignore' : 'pipe', output, 'pipe'],
        // A group of its own, so that what the program has started ends with it.
        detached: process.platform !== 'win32',
      })
      let words = ''
      child.stderr?.setEncoding('utf8')
      child.stderr?.on('data', (text: string) => {
        words = `${words}${text}`.slice(-KEPT)
        if (output === 'inherit') process.stderr.write(text)
      })
      let killing: Timer
      const stopListening = context.onAbort(() => {
        endAll(child, 'SIGTERM')
        killing = clock.setTimer(() => endAll(child, 'SIGKILL'), graceMs, undefined)
      })
      child.once('error', (cause: NodeJS.ErrnoException) => {
        stopListening()
        if (child.pid !== undefined) return
        // Mended by whoever deploys it: the messages are not to blame, so they must not become dead letters.
        reject(
          createError({
            code: 'CALL_FAILED',
            effect: 'none',
            message: `${command} cannot be started (${cause.code}): is it there, and may it be run?`,
            cause,
            details: { command },
          }),
        )
      })
      const over = (code: number | null, signal: NodeJS.Signals | null): void => {
        if (code === 0) resolve(undefined)
        else if (code === BAD_DATA) resolve(dead(`${command} ended with ${BAD_DATA} (bad data): ${words.trim()}`))
        else
          reject(
            createError({
              code: 'CALL_FAILED',
              message: `${command} ended with ${signal ?? code}: ${words.trim() || 'it said nothing'}`,
              details: { command, exitCode: code, signal },
            }),
          )
      }
      child.once('exit', (code, signal) => {
        stopListening()
        clock.clearTimer(killing)
        // Its last words may still be on their way; but what it has left running may hold its standard error open for ever.
        const timer = clock.setTimer(() => over(code, signal), LAST_WORDS_MS, undefined)
        child.stderr?.once('close', () => {
          clock.clearTimer(timer)
          over(code, signal)
        })
      })
      // A program that ends without reading its input says so by its exit code.
      child.stdin?.on('error', () => {})
      child.stdin?.end(lines)
    })
}

function endAll({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(process.platform === 'win32' ? pid : -pid, signal)
  } catch {
    // It has ended by itself.
  }
}
