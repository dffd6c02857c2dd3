// Notices that files change, by their folders: editors and config maps replace a file, or the link it is read through, and a watch on the file itself would go blind.
import { type FSWatcher, realpathSync, watch } from 'node:fs'
import { dirname } from 'node:path'
import { detached } from '../../core/async-context.ts'
import type { Clock, Timer } from '../../core/clock.ts'

/** How folders are watched. */
export interface FolderWatchOptions {
  readonly paths: readonly string[]
  readonly clock: Clock
  /** Changes within this time after the first become one: a file is written in pieces, a folder swapped in steps. Milliseconds. */
  readonly debounceMs: number
  readonly onChange: () => void
}

/** Watches the folders of some files and of what they link to. Where that cannot be done, nothing is told: whoever watches has to look now and then as well. */
export class FolderWatch {
  readonly #options: FolderWatchOptions
  readonly #watchers = new Map<string, FSWatcher>()
  #timer: Timer | undefined
  #closed = false

  constructor(options: FolderWatchOptions) {
    this.#options = options
  }

  /** Watches what there is by now. Folders come, go and are linked elsewhere, so it is called again and again. */
  attend(): void {
    if (this.#closed) return
    const wanted = new Set(this.#options.paths.flatMap(foldersOf))
    for (const [folder, watcher] of this.#watchers)
      if (!wanted.has(folder)) {
        watcher.close()
        this.#watchers.delete(folder)
      }
    for (const folder of wanted) if (!this.#watchers.has(folder)) this.#open(folder)
  }

  close(): void {
    this.#closed = true
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
    if (this.#timer !== undefined) this.#options.clock.clearTimer(this.#timer)
    this.#timer = undefined
  }

  #open(folder: string): void {
    try {
      const watcher = detached(() => watch(folder, { persistent: false }, () => this.#changed()))
      this.#watchers.set(folder, watcher)
      watcher.on('error', () => {
        watcher.close()
        if (this.#watchers.get(folder) === watcher) this.#watchers.delete(folder)
      })
    } catch {
      // No such folder, no more watches to be had, a file system without them: looking now and then has to do.
    }
  }

  #changed(): void {
    if (this.#closed || this.#timer !== undefined) return
    const { clock, debounceMs, onChange } = this.#options
    this.#timer = clock.setTimer(
      () => {
        this.#timer = undefined
        onChange()
      },
      debounceMs,
      undefined,
    )
    clock.unref(this.#timer)
  }
}

function foldersOf(path: string): readonly string[] {
  try {
    return [dirname(path), dirname(realpathSync(path))]
  } catch {
    return [dirname(path)]
  }
}
