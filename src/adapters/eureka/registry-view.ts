// What is known of a whole registry: replaced in full, or brought up to date by what has changed, and checked against the registry's own count.
import { type EurekaApplication, type EurekaApplications, type EurekaInstance, idOf, statusOf } from './wire.ts'

/** All applications with their instances by id. */
export interface RegistryView {
  replace(all: EurekaApplications): void
  /** Applies changes. They repeat for three minutes, so each must be good to be applied twice. */
  apply(changes: EurekaApplications): void
  /** Counts by status, as the registry writes them: `DOWN_1_UP_12_`. */
  hash(): string
  /** Undefined: no such application. */
  instances(application: string): readonly EurekaInstance[] | undefined
}

/** An empty view. */
export function registryView(): RegistryView {
  let applications = new Map<string, Map<string, EurekaInstance>>()

  const put = (name: string, instance: EurekaInstance): void => {
    const id = idOf(instance)
    if (id === undefined) return
    let known = applications.get(name)
    if (known === undefined) applications.set(name, (known = new Map()))
    known.set(id, instance)
  }
  const drop = (name: string, instance: EurekaInstance): void => {
    const known = applications.get(name)
    known?.delete(idOf(instance) as string)
    if (known?.size === 0) applications.delete(name)
  }
  const each = (all: EurekaApplications, change: (name: string, instance: EurekaInstance) => void): void => {
    for (const application of all.applications)
      for (const instance of application.instances) change(nameOf(application, instance), instance)
  }

  return {
    replace(all) {
      applications = new Map()
      each(all, put)
    },
    apply(changes) {
      each(changes, (name, instance) => (instance['actionType'] === 'DELETED' ? drop : put)(name, instance))
    },
    hash() {
      const counts = new Map<string, number>()
      for (const known of applications.values())
        for (const instance of known.values()) {
          const status = statusOf(instance)
          counts.set(status, (counts.get(status) ?? 0) + 1)
        }
      return [...counts.keys()]
        .sort()
        .map((status) => `${status}_${counts.get(status)}_`)
        .join('')
    },
    instances(application) {
      const known = applications.get(application)
      return known === undefined ? undefined : [...known.values()]
    },
  }
}

function nameOf(application: EurekaApplication, instance: EurekaInstance): string {
  const own = instance['app']
  return application.name === '' && typeof own === 'string' ? own.toUpperCase() : application.name
}
