// The subpath `fairlead/file`.
export { type FileRegistrarOptions, fileRegistrar } from './file-registrar.ts'
export { type FileSourceOptions, fileSource } from './file-source.ts'
export type { FileFormat } from './formats.ts'
