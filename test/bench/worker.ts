// A candidate runs in a process of its own: what one does to the heap and to the compiler must not help or hurt another.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

/** A process that measures when it is asked to, and rests otherwise. */
export interface Worker<Ask, Answer> {
  readonly name: string
  ask(question: Ask): Promise<Answer>
  stop(): Promise<void>
}

/** How to start a worker. */
export interface Start {
  /** The compiled worker. */
  readonly file: string
  /** The Node to run it with. */
  readonly node: string
  readonly args: readonly string[]
  readonly flags?: readonly string[] | undefined
}

/** Starts a worker and waits until it is ready. */
export async function startWorker<Ask extends object, Answer>(
  name: string,
  start: Start,
): Promise<Worker<Ask, Answer>> {
  const child = fork(start.file, [...start.args], {
    execPath: start.node,
    execArgv: [...(start.flags ?? [])],
    env: { ...process.env, NODE_OPTIONS: '', NODE_ENV: 'production' },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  await answerOf(name, child)
  return {
    name,
    async ask(question) {
      const answer = answerOf<Answer>(name, child)
      child.send(question)
      return await answer
    },
    async stop() {
      if (child.exitCode !== null) return
      const gone = once(child, 'exit')
      child.disconnect()
      await gone
    },
  }
}

function answerOf<Answer>(name: string, child: ChildProcess): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: unknown): void => {
      child.off('exit', onExit)
      resolve(message as Answer)
    }
    const onExit = (code: number | null): void => {
      child.off('message', onMessage)
      reject(new Error(`the worker of ${name} ended with ${code}`))
    }
    child.once('message', onMessage)
    child.once('exit', onExit)
  })
}
