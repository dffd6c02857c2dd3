// A process in words and as a diagram: from what was written down alone, so that it is the same each time, and a test can hold it against the one in the documents.
import { invalidOption } from '../../core/options.ts'
import { definitionOf, type ProcessBinding, type ProcessDefinition, type ProcessStep } from './definition.ts'
import type { Process } from './types.ts'

/** A process, explained. */
export interface Explanation {
  /** Its steps, a line each. */
  readonly text: string
  /** A flowchart for Mermaid (https://mermaid.js.org). */
  readonly mermaid: string
}

/**
 * Explains a process: what starts it, what it sends, how each step is answered, asked about and undone. Which handler sends which step is known where the handler says so (`sends`).
 * @throws FairleadError `INVALID_OPTIONS` for what is no process
 * @example console.log(explain(PlaceOrder).text)
 */
export function explain(process: Process): Explanation {
  const definition = definitionOf(process)
  if (definition === undefined) throw invalidOption('process', process, 'give what defineProcess made')
  return { text: textOf(definition), mermaid: mermaidOf(definition) }
}

const WORDS = { done: 'answers', refused: 'refuses', undone: 'undoes', 'not-undone': 'cannot undo' } as const

function textOf(definition: ProcessDefinition): string {
  const { name, version, earlier, move, steps, timeouts, bindings, onError, onUndone } = definition
  const lines = [`${name}, version ${version}`]
  const before = earlier.map((each) => each.version)
  if (before.length > 0) lines.push(`  earlier versions go on: ${before.join(', ')}`)
  if (Object.keys(move).length > 0) lines.push(`  moved on from: ${Object.keys(move).join(', ')}`)
  lines.push('starts on')
  for (const each of bindings.filter(isStart)) lines.push(`  ${named(each)}${sending(each.sends)}`)
  if (steps.size > 0) lines.push('steps')
  for (const step of steps.values()) lines.push(...linesOf(step, bindings))
  const others = bindings.filter((each) => !isStart(each) && each.word === undefined)
  if (others.length > 0) lines.push('listens to')
  for (const each of others) lines.push(`  ${named(each)}${sending(each.sends)}`)
  if (timeouts.size > 0) lines.push('timeouts')
  for (const [each, { sends }] of timeouts) lines.push(`  ${each}${sending(sends)}`)
  lines.push('when it fails')
  lines.push('  what is open or unknown is found out, then what was done is undone, the last first')
  if (onError !== undefined) lines.push('  onError decides about errors of its handlers that will not go away')
  if (onUndone !== undefined) lines.push('  onUndone has the last word')
  return lines.join('\n')
}

function linesOf(step: ProcessStep, bindings: readonly ProcessBinding[]): readonly string[] {
  const { name, type, channel, withinMs, replies, ask, undo, onReply, onUnknown } = step
  const within = withinMs === undefined ? '' : `, answered within ${spanOf(withinMs)}`
  const lines = [`  ${name}: sends ${type} to ${channel.kind} ${channel.name}${within}`]
  if (replies) lines.push(`    answered by its reply${sending(onReply.sends)}`)
  for (const each of bindings)
    if (each.word?.step === name) lines.push(`    ${named(each)} ${WORDS[each.word.is]} it${sending(each.sends)}`)
  if (ask !== undefined)
    lines.push(
      `    no answer: asks ${ask.type} of ${ask.channel.kind} ${ask.channel.name}, every ${spanOf(ask.everyMs)}, at most ${ask.times} times`,
    )
  if (ask !== undefined || withinMs !== undefined)
    lines.push(
      onUnknown === undefined
        ? '    still unknown: stuck until an answer comes, or an operator says'
        : `    still unknown: onUnknown decides${sending(onUnknown.sends)}`,
    )
  if (undo !== undefined)
    lines.push(
      `    undone by ${undo.type} to ${undo.channel.kind} ${undo.channel.name}${undo.awaited ? ', and that is waited for' : ''}`,
    )
  return lines
}

function mermaidOf(definition: ProcessDefinition): string {
  const { steps, timeouts, bindings } = definition
  const stepIds = new Map([...steps.keys()].map((name, at) => [name, `s${at}`]))
  const lines = ['flowchart TD']
  const edges: string[] = []
  const sent = (from: string, sends: readonly string[] | undefined): void => {
    for (const name of sends ?? []) edges.push(`  ${from} --> ${stepIds.get(name)}`)
  }
  for (const [name, { channel, type }] of steps)
    lines.push(`  ${stepIds.get(name)}["${label(name)}<br/>${label(type)} to ${label(channel.name)}"]`)
  bindings.forEach((binding, at) => {
    const id = `m${at}`
    const { word, sends } = binding
    lines.push(
      `  ${id}(["${isStart(binding) ? 'start: ' : ''}${label(binding.type)}<br/>${label(binding.channel.name)}"])`,
    )
    if (word !== undefined) {
      const step = stepIds.get(word.step)
      if (word.is === 'done') edges.push(`  ${step} -- done --> ${id}`)
      else if (word.is === 'refused') edges.push(`  ${step} -- refused --> ${id}`)
      else edges.push(`  u${step} -. ${word.is === 'undone' ? 'undone' : 'cannot'} .-> ${id}`)
    }
    sent(id, sends)
  })
  for (const [name, { ask, undo, onReply, onUnknown, replies, withinMs }] of steps) {
    const step = stepIds.get(name)
    if (replies) {
      lines.push(`  r${step}(["reply"])`)
      edges.push(`  ${step} --> r${step}`)
      sent(`r${step}`, onReply.sends)
    }
    if (ask !== undefined) {
      lines.push(`  a${step}{{"ask ${label(ask.type)}<br/>of ${label(ask.channel.name)}"}}`)
      edges.push(`  ${step} -. no answer${withinMs === undefined ? '' : ` in ${spanOf(withinMs)}`} .-> a${step}`)
    }
    if (undo !== undefined) {
      lines.push(`  u${step}[/"undo: ${label(undo.type)}<br/>to ${label(undo.channel.name)}"/]`)
      edges.push(`  ${step} -. fails later .-> u${step}`)
    }
    if (onUnknown !== undefined) sent(step as string, onUnknown.sends)
  }
  let at = 0
  for (const [name, { sends }] of timeouts) {
    lines.push(`  t${at}(("timeout ${label(name)}"))`)
    sent(`t${at}`, sends)
    at++
  }
  return [...lines, ...edges].join('\n')
}

function isStart({ state }: ProcessBinding): boolean {
  return state !== undefined
}

function named({ channel, type }: ProcessBinding): string {
  return `${type} (${channel.kind} ${channel.name})`
}

function sending(sends: readonly string[] | undefined): string {
  if (sends === undefined) return ''
  return sends.length === 0 ? ', sends nothing' : `, sends ${sends.join(', ')}`
}

// Quotation marks and brackets mean something to Mermaid.
function label(text: string): string {
  return text.replace(/[^\w.\-/ ]/g, (sign) => `#${sign.codePointAt(0)};`)
}

const UNITS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
] as const

function spanOf(ms: number): string {
  for (const [unit, name] of UNITS) if (ms >= unit && ms % unit === 0) return `${ms / unit} ${name}`
  return `${ms} ms`
}
