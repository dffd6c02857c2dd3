// Which transport? The question every project asks, answered from the descriptors instead of from habit.
import type { TransportCapabilities } from '../core/contracts/transport.ts'
import { countOption, invalidOption } from '../core/options.ts'
import { type Needs, type UnmetNeed, unmetNeeds } from './capabilities.ts'

/** A transport as one chooses it: its promises, and what they cost. */
export interface TransportProfile {
  readonly name: string
  /** Where it is imported from. */
  readonly from: string
  readonly capabilities: TransportCapabilities
  /** What has to run besides the services themselves; undefined for nothing. */
  readonly server?: string | undefined
  /** Languages that can take part without fairlead, or `any`. */
  readonly languages: 'any' | readonly string[]
  /** Standards that others implement as well. */
  readonly standards: readonly string[]
  /** The order of magnitude that one service can count on with the usual settings, messages a second. */
  readonly messagesPerSecond: number
  /** What one should know before. */
  readonly note: string
}

/** Needs of a whole system: of the transport, and of those around it. */
export interface SystemNeeds extends Needs {
  /** A language that must be able to take part without fairlead: `java`, `python`, `go`. */
  readonly language?: string | undefined
  /** A standard that must be kept: `CloudEvents`, `HTTP`, `SQL`. */
  readonly standard?: string | undefined
  /** Messages a second, at least. */
  readonly messagesPerSecond?: number | undefined
  /** Whether another server may be run. Default true. */
  readonly serverAllowed?: boolean | undefined
}

/** What there is to say of one transport. */
export interface Judgement {
  readonly profile: TransportProfile
  /** Empty where it fits. */
  readonly unmet: readonly UnmetNeed[]
}

/** Transports by how well they fit, best first. */
export interface Choice {
  readonly fits: readonly Judgement[]
  /** Those whose every unmet need can be made up for, or that lack one thing only. */
  readonly nearly: readonly Judgement[]
  readonly not: readonly Judgement[]
}

/**
 * Says which transports fit, which nearly fit, and why the others do not.
 * @param candidates the profiles to choose from; `chooseTransport` of fairlead/transports knows all that fairlead has
 * @throws FairleadError `INVALID_OPTIONS` for a need that there is not, and for a value that it does not have
 */
export function chooseAmong(candidates: readonly TransportProfile[], needs: SystemNeeds): Choice {
  const { language, standard, messagesPerSecond, serverAllowed = true, ...ofTransport } = needs
  if (messagesPerSecond !== undefined) countOption('messagesPerSecond', messagesPerSecond, 1)
  for (const [name, given] of Object.entries({ language, standard }))
    if (given !== undefined && (typeof given !== 'string' || given === ''))
      throw invalidOption(name, given, 'give the name of one')
  if (typeof serverAllowed !== 'boolean') throw invalidOption('serverAllowed', serverAllowed, 'give true or false')
  const fits: Judgement[] = []
  const nearly: Judgement[] = []
  const not: Judgement[] = []
  for (const profile of candidates) {
    const unmet = [...unmetNeeds(profile.capabilities, ofTransport)]
    const { languages, standards } = profile
    if (language !== undefined && languages !== 'any' && !has(languages, language))
      unmet.push({ need: 'language', needed: language, promised: languages.join(', ') })
    if (standard !== undefined && !has(standards, standard))
      unmet.push({ need: 'standard', needed: standard, promised: standards.join(', ') || 'none' })
    if (messagesPerSecond !== undefined && profile.messagesPerSecond < messagesPerSecond)
      unmet.push({
        need: 'messagesPerSecond',
        needed: String(messagesPerSecond),
        promised: `about ${profile.messagesPerSecond}`,
        instead: 'spread over several channels or servers, and measure',
      })
    if (!serverAllowed && profile.server !== undefined)
      unmet.push({ need: 'serverAllowed', needed: 'no server', promised: profile.server })
    const judgement = { profile, unmet }
    if (unmet.length === 0) fits.push(judgement)
    else if (unmet.length === 1 || unmet.every(({ instead }) => instead !== undefined)) nearly.push(judgement)
    else not.push(judgement)
  }
  // What needs no server of its own comes first, then what carries most.
  fits.sort((a, b) => weight(a) - weight(b))
  nearly.sort((a, b) => a.unmet.length - b.unmet.length || weight(a) - weight(b))
  not.sort((a, b) => a.unmet.length - b.unmet.length)
  return { fits, nearly, not }
}

function weight({ profile }: Judgement): number {
  return (profile.server === undefined ? 0 : 1) - profile.messagesPerSecond / 1e9
}

function has(list: readonly string[], wanted: string): boolean {
  return list.some((one) => one.toLowerCase() === wanted.toLowerCase())
}

/** A choice in plain words, a paragraph a transport: for people. */
export function explainChoice({ fits, nearly, not }: Choice): string {
  const part = (title: string, judgements: readonly Judgement[]): readonly string[] =>
    judgements.length === 0
      ? []
      : [
          title,
          ...judgements.flatMap(({ profile, unmet }) => [
            `  ${profile.name} (${profile.from}${profile.server === undefined ? ', no server' : `, needs ${profile.server}`}): ${profile.note}`,
            ...unmet.map(
              ({ need, needed, promised, instead }) =>
                `    ${need}: needed ${needed}, promised ${promised}${instead === undefined ? '' : `; ${instead}`}`,
            ),
          ]),
        ]
  return [...part('Fits:', fits), ...part('Nearly fits:', nearly), ...part('Does not fit:', not)].join('\n')
}
