// A case of the suite for registrars, and what cases cannot do without.
import { type LabCase, type LabNeed, labCase } from '../suite-runner.ts'
import type { RegistrarDesk } from './desk.ts'
import type { RegistrarLab } from './types.ts'

/** One check of the contract of registrars. */
export type RegistrarCase = LabCase<RegistrarLab, RegistrarDesk>

/** Something a case cannot do without. */
export type RegistrarNeed = LabNeed<RegistrarLab>

/** One case. */
export const registrarCase: (
  name: string,
  run: (desk: RegistrarDesk) => Promise<void>,
  needs?: readonly RegistrarNeed[] | undefined,
  timeoutMs?: number | undefined,
) => RegistrarCase = labCase

/** Entries have a lease. */
export const leases: RegistrarNeed = ({ traits }) =>
  traits.ttlMs === undefined ? 'entries of this registry stay for ever' : undefined

/** The registry can be made to forget. */
export const forgets: RegistrarNeed = ({ expire }) =>
  expire === undefined ? 'the lab cannot make its registry forget an entry' : undefined

/** It is noticed when somebody else takes the id. */
export const tellsTaken: RegistrarNeed = ({ traits }) =>
  traits.tellsTaken === false ? 'nobody can tell whose entry it is' : undefined

/** Signs of life are counted. */
export const beaten: RegistrarNeed = ({ beats }) =>
  beats === undefined ? 'the lab counts no signs of life' : undefined
