// Recipe: a batch job that starts at ten messages, or when two urgent ones wait. Until then no program runs.
// The program reads its messages from standard input, a JSON object a line; exit code 0 means that all of them are done.
import { createConsumer, queue } from 'fairlead'
import type { MessageTransport } from 'fairlead/core'
import { batchOf, byPriority, startProcess } from 'fairlead/messaging'
import { z } from 'zod'

export const Imports = queue('imports', { 'file.uploaded': z.object({ path: z.string() }) })

export function importJob(transport: MessageTransport, script: string) {
  return createConsumer({
    transport,
    channel: Imports,
    trigger: batchOf(10),
    batch: startProcess(process.execPath, { args: [script] }),
    handlerTimeoutMs: 600_000, // then the program is ended, and its messages come again
  })
}

export function urgentImportJob(transport: MessageTransport, script: string) {
  return createConsumer({
    transport,
    channel: Imports,
    trigger: byPriority({ urgent: 2, priority: 5, any: 10, maxWaitMs: 3_600_000 }),
    batch: startProcess(process.execPath, { args: [script] }),
    handlerTimeoutMs: 600_000,
  })
}
