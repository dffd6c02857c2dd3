// The other end of `worker.ts`: says that it is ready, answers each question, and ends with its parent.

/** Serves the questions of the parent. */
export function answering<Ask, Answer>(answer: (question: Ask) => Promise<Answer>): void {
  process.on('message', (question) => {
    answer(question as Ask).then(
      (found) => process.send?.(found),
      (error) => {
        console.error(error)
        process.exit(1)
      },
    )
  })
  process.on('disconnect', () => process.exit(0))
  process.send?.('ready')
}
