// On the options of a request through undici: which endpoints its earlier attempts went to. An interceptor that retries puts the set there, the one that picks adds to it.

/** The key of a `Set` of ids of endpoints. */
export const TRIED: unique symbol = Symbol.for('fairlead.tried') as never
