// Whether what is about to be released breaks what was.
export type { Change, ChangeKind, Comparison, Incomparable } from './changes.ts'
export { assertCompatible, type CompatibleOptions, compareReleases } from './compare.ts'
export type { JsonSchema, ToJsonSchema } from './json-schema.ts'
export {
  type ChannelRelease,
  type ContractRelease,
  type Releasable,
  type Release,
  type ReleasedOperation,
  type ReleasedType,
  type ReleaseOptions,
  releaseOf,
} from './release.ts'
