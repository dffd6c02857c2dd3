// A set of listeners: one and the same function may be given twice, and one that throws keeps nothing from the others.

/** Listeners for one kind of news. */
export class Listeners<T> {
  private readonly all = new Set<{ readonly listener: (news: T) => void }>()

  add(listener: (news: T) => void): () => void {
    const link = { listener }
    this.all.add(link)
    return () => {
      this.all.delete(link)
    }
  }

  get size(): number {
    return this.all.size
  }

  tell(news: T): void {
    for (const { listener } of [...this.all]) {
      try {
        listener(news)
      } catch {
        // One listener's fault is not the others'.
      }
    }
  }
}
