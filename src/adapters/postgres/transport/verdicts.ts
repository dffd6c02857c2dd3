// Verdicts of one moment go in one statement. Where the database refuses it for what one of them carries, each goes alone: none takes others with it.
import type { FairleadError } from '../../../errors/index.ts'
import type { ReceiverParts, Told } from './receiver-parts.ts'
import { refusesData } from './refusal.ts'
import type { Said } from './store.ts'

/** What the database said. */
export interface Heard {
  /** Those it has heard of. */
  readonly heard: readonly Told[]
  /** Of these: seqs that came too late. */
  readonly lost: ReadonlySet<string>
  readonly refused: readonly { readonly each: Told; readonly error: FairleadError }[]
  /** Those it has not heard of, as far as is known, and why. */
  readonly rest: readonly Told[]
  readonly error?: FairleadError | undefined
}

/** Tells the database. Never rejects. */
export async function tellVerdicts(parts: ReceiverParts, told: readonly Told[]): Promise<Heard> {
  const { store, place, address, holder, durableSettles, errorOf } = parts
  const settle = async (some: readonly Told[]): Promise<readonly string[] | FairleadError> => {
    const said = some.map((each) => each.said as Said)
    try {
      return await store.settle(place, address.kind === 'queue', holder, said, durableSettles)
    } catch (error) {
      return errorOf(error)
    }
  }
  const together = await settle(told)
  if (!(together instanceof Error)) return { heard: told, lost: new Set(together), refused: [], rest: [] }
  if (!refusesData(together)) return { heard: [], lost: new Set(), refused: [], rest: told, error: together }
  const [only] = told
  if (told.length === 1 && only !== undefined)
    return { heard: [], lost: new Set(), refused: [{ each: only, error: together }], rest: [] }
  const heard: Told[] = []
  const lost = new Set<string>()
  const refused: { readonly each: Told; readonly error: FairleadError }[] = []
  for (const [at, each] of told.entries()) {
    const answer = await settle([each])
    if (!(answer instanceof Error)) {
      heard.push(each)
      for (const seq of answer) lost.add(seq)
    } else if (refusesData(answer)) refused.push({ each, error: answer })
    else return { heard, lost, refused, rest: told.slice(at), error: answer }
  }
  return { heard, lost, refused, rest: [] }
}
