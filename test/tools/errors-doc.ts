// Makes docs/errors.md from the table of codes: what each means, what may be done about it, and a picture that leads to the kind.
import { codeOfStatus } from '../../src/errors/classify-http.ts'
import { CODES, type Code, type CodeFacts, type Kind, OVERLOAD } from '../../src/errors/codes.ts'
import { statusOf } from '../../src/errors/wire.ts'

/** Where the document goes, from the top of the repository. */
export const path = 'docs/errors.md'

/** The kinds in the order of the document, each with its sentence. */
const kinds: Readonly<Record<Kind, string>> = {
  crash: 'The peer is gone.',
  omission: 'A request or a reply was lost.',
  timing: 'Too late, or too early.',
  response: 'Answered with a failure, or lacking what the answer should carry.',
  arbitrary: 'Breaks protocol, identity or agreement.',
  rejected: 'Refused, and surely not processed: by this process (`refusedBy: self`) or by the peer.',
  cancelled: 'The caller gave up.',
  invalid: "The caller's own fault, found here.",
}

/** A question, or the kind that it leads to. */
type Step =
  | { readonly ask: string; readonly yes: Step; readonly no: Step }
  | { readonly kind: Kind; readonly codes: readonly Code[] }

const leaf = (kind: Kind, ...codes: readonly Code[]): Step => ({ kind, codes })

/** Which failure is this? Both pictures are drawn from it. */
export const decision: Step = {
  ask: 'Did the caller give up?',
  yes: leaf('cancelled', 'CANCELLED'),
  no: {
    ask: 'Was the call itself wrong, so that it never left?',
    yes: leaf('invalid', 'INVALID_INPUT', 'PROGRAMMING_ERROR'),
    no: {
      ask: 'Was it refused, and surely not processed?',
      yes: leaf('rejected', 'CIRCUIT_OPEN', 'OUTSTANDING_LIMIT', 'STREAM_REFUSED'),
      no: {
        ask: 'Did anything of an answer come back?',
        no: {
          ask: 'Did time run out?',
          yes: leaf('timing', 'ATTEMPT_TIMEOUT', 'CONNECT_TIMEOUT', 'DEADLINE_EXCEEDED'),
          no: {
            ask: 'Was there a connection on which to ask?',
            yes: leaf('omission', 'CONNECTION_LOST', 'STREAM_CANCELLED'),
            no: {
              ask: 'Is somebody there who cannot prove who he is, or does not speak TLS?',
              yes: leaf('arbitrary', 'CERTIFICATE_INVALID', 'TLS_FAILED'),
              no: leaf('crash', 'CONNECTION_REFUSED', 'NAME_NOT_FOUND', 'HOST_UNREACHABLE'),
            },
          },
        },
        yes: {
          ask: 'Did it break off in its middle?',
          yes: leaf('omission', 'REPLY_TRUNCATED'),
          no: {
            ask: 'Does it break the protocol, its signature, or the agreement of the peers?',
            yes: leaf('arbitrary', 'PROTOCOL_VIOLATION', 'REPLY_UNDECODABLE', 'DISAGREEMENT'),
            no: {
              ask: 'Did it come too late, or too early?',
              yes: leaf('timing', 'BODY_TIMEOUT', 'TOO_EARLY', 'TOO_LATE'),
              no: {
                ask: 'Is it a gateway that could not reach the service?',
                yes: leaf('crash', 'BAD_GATEWAY'),
                no: leaf('response', 'NOT_FOUND', 'UNAVAILABLE', 'SERVER_ERROR', 'REPLY_INVALID'),
              },
            },
          },
        },
      },
    },
  },
}

function flowchart(): string {
  const lines = ['flowchart TD']
  let count = 0
  const draw = (step: Step): string => {
    const id = `s${count++}`
    if ('kind' in step) lines.push(`  ${id}(["${step.kind}<br/>${step.codes.join('<br/>')}"])`)
    else {
      lines.push(`  ${id}{"${step.ask}"}`)
      for (const answer of ['yes', 'no'] as const) lines.push(`  ${id} -- ${answer} --> ${draw(step[answer])}`)
    }
    return id
  }
  draw(decision)
  return lines.join('\n')
}

function tree(step: Step = decision, indent = ''): string {
  if ('kind' in step) return `${indent}=> ${step.kind}: ${step.codes.join(', ')}`
  // The short way first, so that the eye goes down.
  const order = 'kind' in step.yes ? (['yes', 'no'] as const) : (['no', 'yes'] as const)
  return [
    `${indent}${step.ask}`,
    ...order.map((answer) => `${indent}  ${answer}:\n${tree(step[answer], `${indent}    `)}`),
  ].join('\n')
}

function retryable({ effect, transient }: CodeFacts): string {
  if (!transient) return 'never'
  return effect === 'none' ? 'always' : 'if idempotent'
}

function row([code, facts]: readonly [Code, CodeFacts]): string {
  const marks = OVERLOAD.has(code) ? ' (overload)' : facts.refusedBy === 'peer' ? ' (by the peer)' : ''
  const cells = [
    `\`${code}\`${marks}`,
    facts.meaning,
    facts.effect,
    facts.transient ? 'yes' : 'no',
    retryable(facts),
    facts.breaker,
    statusOf(code),
    facts.advice,
  ]
  return `| ${cells.join(' | ')} |`
}

function section(kind: Kind): string {
  const rows = (Object.entries(CODES) as [Code, CodeFacts][]).filter(([, facts]) => facts.kind === kind).map(row)
  return [
    `### ${kind}`,
    '',
    kinds[kind],
    '',
    '| code | meaning | effect | transient | may be repeated | breaker | HTTP | what to do |',
    '|---|---|---|---|---|---|---|---|',
    ...rows,
  ].join('\n')
}

/** 300 to 599 by code, neighbours drawn together. */
function statuses(): string {
  const ranges = new Map<Code, string[]>()
  for (let from = 300; from <= 599; ) {
    const code = codeOfStatus(from)
    let to = from
    while (to < 599 && codeOfStatus(to + 1) === code) to++
    ranges.set(code, [...(ranges.get(code) ?? []), from === to ? `${from}` : `${from}-${to}`])
    from = to + 1
  }
  const rows = [...ranges].map(([code, found]) => `| ${found.join(', ')} | \`${code}\` |`)
  return ['| status of an answer | code |', '|---|---|', ...rows].join('\n')
}

/** The text of docs/errors.md. */
export function render(): string {
  return `# Errors

Made from \`src/errors/codes.ts\` by \`npm run generate\`; do not edit.

Everything that fairlead throws, and everything that is thrown through it, is a \`FairleadError\`. Its \`code\` is one of those below, its \`kind\` groups them,
and \`classify(anything)\` makes one of whatever some other library threw.

\`\`\`ts
import { isFairleadError } from 'fairlead'

declare function placeOrder(): Promise<void>
declare function queueForLater(): void
try {
  await placeOrder()
} catch (error) {
  if (isFairleadError(error) && error.retryable) queueForLater()
  else throw error
}
\`\`\`

## Which failure is this?

\`\`\`mermaid
${flowchart()}
\`\`\`

The same as text:

\`\`\`text
${tree()}
\`\`\`

## What the columns say

- **effect**: what the peer did. \`none\` is proof that nothing happened there; \`unknown\` is everything that is not proven; \`done\` says that the work is done and only the answer is of no use.
  The table has what the code alone proves. A transport that measured may know that nothing was sent, and a refused system call proves it: then \`error.effect\` is \`none\` where the table says \`unknown\`.
- **transient**: whether the same call could go well later.
- **may be repeated** is \`error.retryable\`: transient, and either without effect or of an operation that was declared idempotent. Budget, deadline and a body that can be read again still decide, and our own retry never repeats what this process itself refused.
- **breaker**: what a circuit breaker makes of it: a \`failure\` of the peer, a \`success\` (the peer works, whatever it said), or \`neutral\`, which is not counted at all.
- **HTTP**: the status with which such an error leaves through a server adapter, as problem details (RFC 9457). At a client of fairlead it arrives with the same kind and code, and with effect \`unknown\` unless the server knows better.
  A refusal that comes over the wire has \`refusedBy: peer\`, and with a status of 500 or more counts as a failure of that peer.

## Codes

${(Object.keys(kinds) as Kind[]).map(section).join('\n\n')}

## HTTP statuses

How the status of an answer is read. A 503 proves that nothing was done only if the contract says so; 300, 304, 305, 307 and 308 prove it, other redirects do not.

${statuses()}

## From other libraries

\`classify\` knows Node's system errors and name lookups, TLS, HTTP/2, undici 7 and 8, \`fetch\`, AbortSignal, axios, got, ky, and whatever carries a \`status\` or \`statusCode\` of 400 to 599, with \`Retry-After\` in both forms.
It looks through \`cause\` and \`errors\`, at most 8 deep and 32 in all. An \`AggregateError\` has effect \`none\` only if each of its parts proves that.
A plain \`Error\` is \`CALL_FAILED\`; a \`TypeError\` and its like, with no network behind it, is \`PROGRAMMING_ERROR\`; JSON that does not parse is \`REPLY_UNDECODABLE\`.
A FairleadError of another operation that comes out of a wrapped function keeps its code and becomes the cause of a new one, whose effect is \`unknown\`: what was proven of the inner call is not proven of the outer.
`
}
