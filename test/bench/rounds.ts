// Interleaved rounds: every candidate in every round, in a new order each time, so that no one has the quiet minutes.
import { shuffler } from './statistics.ts'
import { type Start, startWorker, type Worker } from './worker.ts'

/** Candidates, each in its own process, warm. */
export interface Crew<Ask, Answer> {
  /** Asks the candidates, round after round; answers, per candidate, one answer a round. */
  rounds(candidates: readonly string[], question: Ask, rounds: number): Promise<ReadonlyMap<string, readonly Answer[]>>
  stop(): Promise<void>
}

/**
 * Starts the candidates one after another. Each is asked its warm-up questions first, alone: code that is not compiled yet
 * says nothing about a service that has run for a while.
 */
export async function startCrew<Ask extends object, Answer>(
  candidates: readonly string[],
  start: (candidate: string) => Start,
  warmUp: (candidate: string) => readonly Ask[],
): Promise<Crew<Ask, Answer>> {
  const workers: Worker<Ask, Answer>[] = []
  const shuffle = shuffler(candidates.length)
  const stop = async (): Promise<void> => {
    await Promise.all(workers.map((worker) => worker.stop()))
  }
  try {
    for (const name of candidates) {
      const worker = await startWorker<Ask, Answer>(name, start(name))
      workers.push(worker)
      for (const question of warmUp(name)) await worker.ask(question)
    }
  } catch (error) {
    await stop()
    throw error
  }
  return {
    stop,
    async rounds(names, question, count) {
      const answers = new Map<string, Answer[]>(names.map((name) => [name, []]))
      for (let round = 0; round < count; round++)
        for (const worker of shuffle(workers))
          answers.get(worker.name)?.push(...(names.includes(worker.name) ? [await worker.ask(question)] : []))
      return answers
    },
  }
}
