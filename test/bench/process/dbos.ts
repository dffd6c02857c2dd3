// The contest as a workflow of DBOS: with the same messages by the same consumers (`recv`), with a workflow for each command in the place of messages, or, in its favour, with nothing but
// steps of its own.
import type { MessageTransport } from 'fairlead/core'
import { createConsumer, createPublisher } from 'fairlead/messaging'
import {
  Answers,
  COMMANDS,
  CONCURRENCY,
  Commands,
  type Contest,
  Orders,
  placing,
  type Said,
  startOthers,
  TEXT,
} from './contest.ts'

// It is installed for the bench only, and has no types here.
const peer = (module: string): Promise<any> => import(module)

const COMMAND_TYPES = ['do-1', 'do-2', 'do-3'] as const

async function launch(url: string): Promise<any> {
  // Its pool is asked while it answers, which `pg` finds old-fashioned.
  process.removeAllListeners('warning')
  const loaded = await peer('@dbos-inc/dbos-sdk')
  const { DBOS } = loaded.DBOS === undefined ? loaded.default : loaded
  DBOS.setConfig({
    name: 'bench',
    systemDatabaseUrl: url,
    systemDatabasePoolSize: CONCURRENCY,
    logLevel: 'error',
    applicationVersion: '1',
  })
  return DBOS
}

/** Commands are published in a step, answers come by `send` and `recv`. */
export async function dbosMessages(url: string, transport: MessageTransport): Promise<Contest> {
  const DBOS = await launch(url)
  const publisher = createPublisher({ transport, source: '/bench/dbos' })
  let done = 0
  const run = DBOS.registerWorkflow(
    async (data: Said): Promise<number> => {
      let answers = 0
      for (let command = 1; command <= COMMANDS; command++) {
        const type = COMMAND_TYPES[command - 1] as 'do-1'
        await DBOS.runStep(
          async () => {
            await publisher.publish(Commands, { type, key: data.orderId, data, id: `${data.orderId}:${command}` })
          },
          { name: type },
        )
        if ((await DBOS.recv(`done-${command}`)) === null) throw new Error(`${type} was not answered`)
        answers++
      }
      return answers
    },
    { name: 'order' },
  )
  await DBOS.launch()
  const placed = async ({ data }: { readonly data: Said }): Promise<void> => {
    const handle = await DBOS.startWorkflow(run, { workflowID: data.orderId })(data)
    void handle.getResult().then(() => done++)
  }
  const answered = async ({ id, type, data }: { readonly id: string; readonly type: string; readonly data: Said }) => {
    await DBOS.send(data.orderId, data, type, id)
  }
  const shared = { transport, concurrency: CONCURRENCY }
  await createConsumer({ ...shared, channel: Orders, handlers: { placed } }).start()
  await createConsumer({
    ...shared,
    channel: Answers,
    handlers: { 'done-1': answered, 'done-2': answered, 'done-3': answered },
  }).start()
  await startOthers(transport)
  return { start: placing(transport), done: () => done, async settle() {} }
}

/** A command is a workflow of its own, which the order waits for: what DBOS has for work that somebody else does. There are no messages, and it does nothing. */
export async function dbosWorkflows(url: string): Promise<Contest> {
  const DBOS = await launch(url)
  const command = DBOS.registerWorkflow(async (data: Said): Promise<Said> => data, { name: 'command' })
  return await without(DBOS, async (data) => {
    for (const name of COMMAND_TYPES) {
      const handle = await DBOS.startWorkflow(command, { workflowID: `${data.orderId}:${name}` })(data)
      await handle.getResult()
    }
  })
}

/** Steps that do nothing, in the program itself: there are no messages, and nobody else is asked. */
export async function dbosSteps(url: string): Promise<Contest> {
  const DBOS = await launch(url)
  return await without(DBOS, async (data) => {
    for (const name of COMMAND_TYPES) await DBOS.runStep(async () => data, { name })
  })
}

// Orders that are begun by a call.
async function without(DBOS: any, work: (data: Said) => Promise<void>): Promise<Contest> {
  let done = 0
  const run = DBOS.registerWorkflow(
    async (data: Said): Promise<number> => {
      await work(data)
      return COMMANDS
    },
    { name: 'order' },
  )
  await DBOS.launch()
  return {
    async start(orderIds) {
      for (const orderId of orderIds)
        void DBOS.startWorkflow(run, { workflowID: orderId })({ orderId, text: TEXT })
          .then((handle: { getResult(): Promise<unknown> }) => handle.getResult())
          .then(() => done++)
    },
    done: () => done,
    async settle() {},
  }
}
