// A client of Prisma, made as the one that `prisma generate` writes makes itself, for a schema without models. The generator itself fetches an engine
// from outside the registries, and is not needed: transactions and raw queries are those of the runtime.
import { PrismaPg } from '@prisma/adapter-pg'
import { type GetPrismaClientConfig, getPrismaClient, type ITXClientDenyList } from '@prisma/client/runtime/client'

/** What the generated declarations say of the client, without its models. */
export interface PrismaClient {
  $connect(): Promise<void>
  $disconnect(): Promise<void>
  $executeRawUnsafe(query: string, ...values: any[]): Promise<number>
  $queryRawUnsafe<T = unknown>(query: string, ...values: any[]): Promise<T>
  $transaction<P extends Promise<any>[]>(
    arg: [...P],
    options?: { maxWait?: number; timeout?: number; isolationLevel?: 'ReadCommitted' | 'Serializable' },
  ): Promise<unknown[]>
  $transaction<R>(
    fn: (prisma: Omit<PrismaClient, ITXClientDenyList>) => Promise<R>,
    options?: { maxWait?: number; timeout?: number; isolationLevel?: 'ReadCommitted' | 'Serializable' },
  ): Promise<R>
  $on(eventType: never, callback: (event: unknown) => void): PrismaClient
  $extends: unknown
}

/** `Prisma.TransactionClient` of the generated declarations. */
export type TransactionClient = Omit<PrismaClient, ITXClientDenyList>

// They come without declarations.
const COMPILER = '@prisma/client/runtime/query_compiler_small_bg.postgresql'

const config: GetPrismaClientConfig = {
  previewFeatures: [],
  clientVersion: '7.9.1',
  engineVersion: 'e922089b7d7502aff4249d5da3420f6fa55fc6ad',
  activeProvider: 'postgresql',
  inlineSchema: 'datasource db {\n  provider = "postgresql"\n}\n',
  runtimeDataModel: { models: {}, enums: {}, types: {} },
  parameterizationSchema: { strings: [], graph: 'AAAAAAAAAAA' },
  compilerWasm: {
    getRuntime: () => import(`${COMPILER}.mjs`),
    async getQueryCompilerWasmModule() {
      const { wasm } = (await import(`${COMPILER}.wasm-base64.mjs`)) as { readonly wasm: string }
      const { WebAssembly } = globalThis as unknown as { WebAssembly: { Module: new (bytes: Uint8Array) => unknown } }
      return new WebAssembly.Module(Buffer.from(wasm, 'base64'))
    },
    importName: './query_compiler_small_bg.js',
  },
}

/** A client over `pg`. */
export const prismaClient = (connectionString: string, max = 4): PrismaClient => {
  const Client = getPrismaClient(config)
  return new Client({ adapter: new PrismaPg({ connectionString, max }) }) as unknown as PrismaClient
}
