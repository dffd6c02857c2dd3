// Something to wait at until anything has changed. Whoever passes looks again for what it waits for.

/** A gate that is shut again as soon as all who waited have passed. */
export class Gate {
  private waiting: (() => void)[] = []

  wait(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve))
  }

  open(): void {
    const passing = this.waiting
    this.waiting = []
    for (const pass of passing) pass()
  }
}
