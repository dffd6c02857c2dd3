// The name of a service as people write it: `orders`, `orders.shop`, or the name that the cluster's DNS has for it.
import { invalidOption } from '../../core/options.ts'
import { LABEL } from './options.ts'

/** Which service of which namespace. */
export interface ServiceName {
  readonly name: string
  /** Undefined: the source's own. */
  readonly namespace: string | undefined
}

/**
 * Reads `name`, `name.namespace`, `name.namespace.svc` and what a cluster's domain adds to it.
 * @throws FairleadError INVALID_OPTIONS for a name that no service can have
 */
export function readServiceName(service: string): ServiceName {
  const [name = '', namespace, svc, ...domain] = String(service).replace(/\.$/, '').split('.')
  const labels = [namespace ?? 'a', ...domain]
  if (!LABEL.test(name) || (svc !== undefined && svc !== 'svc') || !labels.every((each) => LABEL.test(each)))
    throw invalidOption('service', service, 'give the name of a Kubernetes service: name or name.namespace')
  return { name, namespace }
}
