// What Eureka answers, read with care: its JSON was XML once, so a list of one may be no list, numbers are strings, and keys have two spellings.
import type { FairleadError } from '../../errors/base.ts'
import { createError } from '../../errors/classes.ts'
import { jsonOf } from '../registry/answer.ts'
import type { RegistryAnswer } from '../registry/client.ts'

/** One instance, still as the registry wrote it. */
export type EurekaInstance = Readonly<Record<string, unknown>>

/** One application with its instances. */
export interface EurekaApplication {
  /** Upper case, as the registry has it; empty where nobody says it. */
  readonly name: string
  readonly instances: readonly EurekaInstance[]
}

/** Many applications: all of them, those behind a VIP, or what has changed. */
export interface EurekaApplications {
  /** Counts of all instances by status, such as `DOWN_1_UP_12_`; undefined where it is not told. */
  readonly hash: string | undefined
  readonly applications: readonly EurekaApplication[]
}

/** The header that everything is asked with: without it the registry speaks XML. */
export const JSON_PLEASE: Readonly<Record<string, string>> = { accept: 'application/json' }

/**
 * Reads the answer to `apps/{APP}`; undefined when there is no such application (404).
 * @throws FairleadError of the status; REPLY_UNDECODABLE, REPLY_INVALID
 */
export function readApplication(answer: RegistryAnswer): EurekaApplication | undefined {
  if (isUnknown(answer)) return undefined
  const application = objectOf(objectOf(jsonOf('Eureka', answer))?.['application'])
  if (application === undefined || !('name' in application || 'instance' in application))
    throw unreadable('an application')
  return applicationOf(application)
}

/**
 * Reads the answer to `apps`, `apps/delta`, `vips/{vip}`; undefined for 404.
 * @throws FairleadError of the status; REPLY_UNDECODABLE, REPLY_INVALID
 */
export function readApplications(answer: RegistryAnswer): EurekaApplications | undefined {
  if (isUnknown(answer)) return undefined
  const all = objectOf(objectOf(jsonOf('Eureka', answer))?.['applications'])
  if (all === undefined || !('application' in all || 'apps__hashcode' in all)) throw unreadable('applications')
  const hash = all['apps__hashcode']
  return {
    hash: typeof hash === 'string' ? hash : undefined,
    applications: listOf(all['application'], 'applications').map(applicationOf),
  }
}

/**
 * Reads the answer to `apps/{APP}/{id}`; undefined when the registry has no such instance (404).
 * @throws FairleadError of the status; REPLY_UNDECODABLE, REPLY_INVALID
 */
export function readInstance(answer: RegistryAnswer): EurekaInstance | undefined {
  // Whatever says 404 here is answered by registering, and that tells a wrong URL.
  if (answer.status === 404) return undefined
  const instance = objectOf(objectOf(jsonOf('Eureka', answer))?.['instance'])
  if (instance === undefined) throw unreadable('an instance')
  return instance
}

/** The status that counts, with what an operator has put over it. */
export function statusOf(instance: EurekaInstance): string {
  return textOf(instance['status']) ?? 'UNKNOWN'
}

/** What an operator has put over the status, in either spelling; UNKNOWN for nothing. */
export function overrideOf(instance: EurekaInstance): string {
  return textOf(instance['overriddenStatus']) ?? textOf(instance['overriddenstatus']) ?? 'UNKNOWN'
}

/** As Eureka's own clients find it: the id, that of the machine at a cloud, the host name. */
export function idOf(instance: EurekaInstance): string | undefined {
  return textOf(instance['instanceId']) ?? textOf(datacenterOf(instance)['instance-id']) ?? textOf(instance['hostName'])
}

/** What the cloud says of the machine (`availability-zone` and so on). */
export function datacenterOf(instance: EurekaInstance): Readonly<Record<string, unknown>> {
  return objectOf(objectOf(instance['dataCenterInfo'])?.['metadata']) ?? {}
}

/** Metadata as texts; without `@class`, which the registry's own serialization leaves there. */
export function metadataOf(instance: EurekaInstance): Readonly<Record<string, string>> {
  const entries: [string, string][] = []
  for (const [name, value] of Object.entries(objectOf(instance['metadata']) ?? {}))
    if (name !== '@class' && (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'))
      entries.push([name, String(value)])
  // Not by assignment: a key may be `__proto__`.
  return Object.fromEntries(entries)
}

/** A text that is not blank; numbers are texts as well. */
export function textOf(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : undefined
}

/** An object that is no list. */
export function objectOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined
}

function applicationOf(application: Readonly<Record<string, unknown>>): EurekaApplication {
  const instances = listOf(application['instance'], 'instances')
  const name = textOf(application['name']) ?? textOf(instances[0]?.['app']) ?? ''
  return { name: name.toUpperCase(), instances }
}

// One thing where a list is due is a list of one; nothing is an empty one.
function listOf(value: unknown, what: string): readonly Readonly<Record<string, unknown>>[] {
  if (value === undefined || value === null || value === '') return []
  const list = Array.isArray(value) ? value : [value]
  if (list.some((each) => objectOf(each) === undefined)) throw unreadable(what)
  return list
}

// A gateway that does not know the way says 404 as well, in HTML or in words: that is no word about the service.
function isUnknown(answer: RegistryAnswer): boolean {
  if (answer.status !== 404) return false
  if (answer.text.trim() === '') return true
  try {
    JSON.parse(answer.text)
    return true
  } catch {
    return false
  }
}

function unreadable(what: string): FairleadError {
  return createError({
    code: 'REPLY_INVALID',
    message: `Eureka answered JSON without ${what}`,
    stack: false,
  })
}
