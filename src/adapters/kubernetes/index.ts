// The subpath `fairlead/kubernetes`.
export type { KubernetesSourceOptions } from './options.ts'
export { kubernetesSource } from './source.ts'
