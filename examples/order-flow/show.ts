// Prints the demo: colour and a live bar where there is a terminal, plain lines where not.
const terminal = process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined
const paint = (code: number) => (text: string) => (terminal ? `\u001b[${code}m${text}\u001b[0m` : text)
const green = paint(32)
const red = paint(31)
const bold = paint(1)
const dim = paint(2)

let broken = 0

/** Begins a step. */
export function step(title: string, promise: string): void {
  console.log(`\n${bold(title)}\n  ${dim('promised:')} ${promise}`)
}

/** One thing that was counted, and whether it is as promised. */
export function check(what: string, kept: boolean): void {
  if (!kept) broken++
  console.log(`  ${kept ? green('✔') : red('✘')} ${what}`)
}

/** A bar that fills while a step runs. */
export function bar(done: number, of: number): void {
  if (!terminal) return
  const width = 30
  const full = Math.round((width * done) / of)
  process.stdout.write(
    `\r  ${'█'.repeat(full)}${'░'.repeat(width - full)} ${done}/${of}${done === of ? `\r\u001b[K` : ''}`,
  )
}

/** The last line; the exit code says it too. */
export function verdict(): void {
  console.log(broken === 0 ? green(bold('\nEvery promise was kept.')) : red(bold(`\n${broken} promises were broken.`)))
  process.exitCode = broken === 0 ? 0 : 1
}
