// One entry a subpath of `exports`; shared code lands in chunks, so that a class exists once however many subpaths are imported.
import { transform } from 'sucrase'
import type { Options } from 'tsup'

/**
 * tsup turns chunks into CommonJS by sucrase, which on the way writes each `?.` and `??` as a call with an array and closures: at run time that was half of the garbage of a consumer's message.
 * Node has had both since long; only imports are to be rewritten.
 */
const plainCommonJs: NonNullable<Options['plugins']>[number] = {
  name: 'plain-common-js',
  buildStart() {
    // Its own step looks at this; esbuild was told before.
    if (this.format === 'cjs') this.splitting = false
  },
  renderChunk(code, { type, path }) {
    if (this.format !== 'cjs' || type !== 'chunk' || !path.endsWith('.cjs')) return undefined
    return { code: transform(code, { filePath: path, transforms: ['imports'], disableESTransforms: true }).code }
  },
}

const options: Options = {
  entry: {
    index: 'src/index.ts',
    errors: 'src/errors/index.ts',
    core: 'src/core/index.ts',
    policies: 'src/policies/index.ts',
    rpi: 'src/rpi/index.ts',
    messaging: 'src/messaging/index.ts',
    discovery: 'src/discovery/index.ts',
    http: 'src/adapters/http/index.ts',
    memory: 'src/adapters/memory/index.ts',
    'http-push': 'src/adapters/http-push/index.ts',
    'http-feed': 'src/adapters/http-feed/index.ts',
    postgres: 'src/adapters/postgres/index.ts',
    mysql: 'src/adapters/mysql/index.ts',
    sqlite: 'src/adapters/sqlite/index.ts',
    dns: 'src/adapters/dns/index.ts',
    file: 'src/adapters/file/index.ts',
    eureka: 'src/adapters/eureka/index.ts',
    consul: 'src/adapters/consul/index.ts',
    kubernetes: 'src/adapters/kubernetes/index.ts',
    rabbitmq: 'src/adapters/rabbitmq/index.ts',
    kafka: 'src/adapters/kafka/index.ts',
    'rpi-over-messaging': 'src/adapters/rpi-over-messaging/index.ts',
    transports: 'src/adapters/transports/index.ts',
    testing: 'src/testing/index.ts',
    cli: 'src/cli/main.ts',
  },
  format: ['esm', 'cjs'],
  target: 'node20',
  platform: 'node',
  splitting: true,
  treeshake: false,
  shims: true,
  clean: true,
  silent: true,
  plugins: [plainCommonJs],
  dts: { compilerOptions: { ignoreDeprecations: '6.0' } },
}

export default options
