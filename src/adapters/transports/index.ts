// fairlead/transports: which transport? Data only: importing it loads no client.
import { type Choice, chooseAmong, type SystemNeeds } from '../../messaging/choose.ts'
import { transports } from './profiles.ts'

export type { Needs, UnmetNeed } from '../../messaging/capabilities.ts'
export {
  type Choice,
  explainChoice,
  type Judgement,
  type SystemNeeds,
  type TransportProfile,
} from '../../messaging/choose.ts'
export { transports }

/**
 * Says which of fairlead's transports fit, which nearly fit, and why the others do not.
 * @throws FairleadError `INVALID_OPTIONS` for a need that there is not
 * @example console.log(explainChoice(chooseTransport({ modes: 'queue', order: 'key', persistent: true, language: 'python' })))
 */
export function chooseTransport(needs: SystemNeeds): Choice {
  return chooseAmong(transports, needs)
}
