// What Consul has no field for travels in the service's meta under these names, so that our source reads what our registrar wrote.

/** The id of the endpoint: ids of Consul are unique on one node only. */
export const ID_MARK = 'fairlead-id'
/** Which process announced it. */
export const PROCESS_MARK = 'fairlead-process'
/** `starting`, `draining` or `down`; absent: ready. */
export const STATE_MARK = 'fairlead-state'
/** A weight that is no whole number from 1 to 65535. */
export const WEIGHT_MARK = 'fairlead-weight'
export const PRIORITY_MARK = 'fairlead-priority'
export const HOSTNAME_MARK = 'fairlead-hostname'
/** Named ports, as JSON. */
export const PORTS_MARK = 'fairlead-ports'
/** Further addresses, as tagged ones: `fairlead-1`, `fairlead-2`. */
export const ADDRESS_MARK = 'fairlead-'
/** As Spring Cloud writes it: `true` for https. */
export const SECURE_MARK = 'secure'

/** Whether a name of meta is one of ours and no metadata of the user. */
export const isMark = (name: string): boolean => name.startsWith('fairlead-')
