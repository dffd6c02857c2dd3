// A transport without a network: it hands requests to a server adapter of the same process, over the same wire conventions as HTTP.
import { FailureAnswer } from '../../core/answer.ts'
import { detached } from '../../core/async-context.ts'
import type { CallContext } from '../../core/context.ts'
import type { OperationDescriptor, RpiReply, RpiTransport } from '../../core/contracts/rpi.ts'
import { hintsOf, readReply } from '../../core/http-reply.ts'
import { getsStream, type RequestOptions, requestParts, sendsStream } from '../../core/http-request.ts'
import { DEADLINE_HEADER, FAILURE_HEADER, itemLine, lines, readLine } from '../../core/http-wire.ts'
import { createError } from '../../errors/classes.ts'
import { fromProblem } from '../../errors/wire.ts'

/** Whatever answers requests of the Fetch API: a server adapter, or a function of one's own. */
export interface FetchServer {
  fetch(request: Request): Promise<Response>
}

/** Options of the memory transport. */
export interface MemoryRpiOptions {
  /** Default `memory`. */
  readonly name?: string | undefined
  /** What stands before the paths of the contract, as at the server adapter. */
  readonly basePath?: string | undefined
  /** Which header carries the remaining time. Default `x-request-timeout-ms`. */
  readonly deadlineHeader?: string | undefined
}

/**
 * Calls a server adapter in the same process, for tests. Everything is encoded and decoded as on the wire; only the socket is missing.
 * @example createProxy(Inventory, { transport: memoryRpiTransport(createServerAdapter(Inventory, handlers)) })
 */
export function memoryRpiTransport(server: FetchServer, options: MemoryRpiOptions = {}): RpiTransport {
  const { name = 'memory', basePath = '', deadlineHeader = DEADLINE_HEADER } = options
  let closed = false
  return {
    name,
    async invoke(operation, input, context) {
      if (closed) throw createError({ code: 'SHUTDOWN' })
      context.effect = 'none'
      const request = requestOf(operation, input, context, { basePath, deadlineHeader })
      context.effect = 'unknown'
      // The server's work is not part of the caller's: nothing may be inherited but what the headers say.
      const response = await orAborted(
        context,
        detached(() => server.fetch(request)),
      )
      return await reply(operation, response, context, name)
    },
    async close() {
      closed = true
    },
  }
}

function requestOf(
  operation: OperationDescriptor,
  input: unknown,
  context: CallContext,
  wire: RequestOptions,
): Request {
  const { method, target, headers, body } = requestParts(operation, input, context, wire)
  const streams = sendsStream(operation)
  return new Request(`http://memory${target}`, {
    method,
    headers,
    signal: context.signal,
    body: streams ? upload(input as AsyncIterable<unknown>) : (body ?? null),
    ...(streams ? { duplex: 'half' } : {}),
  } as RequestInit)
}

function upload(items: AsyncIterable<unknown>): ReadableStream<Uint8Array> {
  const iterator = items[Symbol.asyncIterator]()
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await iterator.next()
        if (done === true) controller.close()
        else controller.enqueue(Buffer.from(itemLine(value)))
      },
      async cancel() {
        await iterator.return?.()
      },
    },
    { highWaterMark: 0 },
  )
}

async function reply(
  operation: OperationDescriptor,
  response: Response,
  context: CallContext,
  transport: string,
): Promise<RpiReply> {
  const { status } = response
  const headers = Object.fromEntries(response.headers)
  const hints = hintsOf(operation, context, transport)
  if (status < 400 && headers[FAILURE_HEADER] === undefined && getsStream(operation))
    return { output: download(response, hints), headers }
  return readReply(operation, { status, headers, text: await orAborted(context, response.text()) }, hints)
}

async function* download(
  response: Response,
  hints: { readonly service: string; readonly operation: string },
): AsyncGenerator<unknown> {
  if (response.body === null) return
  const tooLarge = (): unknown => createError({ ...hints, code: 'REPLY_TOO_LARGE' })
  for await (const text of lines(response.body as unknown as AsyncIterable<Uint8Array>, 16_777_216, tooLarge)) {
    const line = readLine(text)
    if (line === undefined) continue
    if (line.type === 'failure') throw new FailureAnswer(line.failure, line.data)
    if (line.type === 'problem') throw fromProblem(line.problem, Number(line.problem['status'] ?? 500), hints)
    yield line.value
  }
}

function orAborted<T>(context: CallContext, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = context.onAbort(reject)
    work.then(stop, stop)
    work.then(resolve, reject)
  })
}
