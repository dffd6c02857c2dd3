// `unit` and `types` need nothing; `services`, `rabbitmq`, `kafka` and `mariadb` need real servers, and run beside each other; `package` needs the packed tarball.
import { fileURLToPath } from 'node:url'
import { defineConfig, type ViteUserConfig } from 'vitest/config'

const source = (path: string): string => fileURLToPath(new URL(`./src/${path}`, import.meta.url))

// Examples import `fairlead` as a user does; here that name is the source, so that no build is needed.
const alias = [
  { find: /^fairlead$/, replacement: source('index.ts') },
  {
    find: /^fairlead\/(http|memory|http-push|http-feed|postgres|mysql|sqlite|transports|dns|file|eureka|consul|kubernetes|rabbitmq|kafka|rpi-over-messaging)$/,
    replacement: source('adapters/$1/index.ts'),
  },
  { find: /^fairlead\/([a-z]+)$/, replacement: source('$1/index.ts') },
]

// `npm test` names the servers that are not up; a suite names its server by its folder.
const leftOut = (process.env.FAIRLEAD_LEFT_OUT ?? '')
  .split(',')
  .filter((name) => name !== '')
  .flatMap((name) => [`test/conformance/${name}/**`, `test/chaos/${name}/**`])

// Their suites take long: each of these is a project of its own, so that they can run beside the others.
// A client that has to be built is tested on the broker that it is for.
const suitesOf = (name: string): readonly string[] => [
  `test/conformance/${name}/**/*.test.ts`,
  `test/chaos/${name}/**/*.test.ts`,
  ...(name === 'kafka' ? ['test/conformance/confluent/**/*.test.ts'] : []),
]
const apart = ['rabbitmq', 'kafka', 'mariadb']

const config: ViteUserConfig = defineConfig({
  resolve: { alias },
  test: {
    globals: false,
    // What is polled for is waited for: vitest's own second is shorter than a busy machine may stand still.
    expect: { poll: { timeout: 20_000 } },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/conformance/**', 'test/chaos/**', 'test/package/**'],
          // A hang, not a slow machine: some of them count to a million.
          testTimeout: 30_000,
          hookTimeout: 30_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'types',
          include: [],
          typecheck: { enabled: true, only: true, include: ['test/**/*.test-d.ts'], tsconfig: './tsconfig.json' },
        },
      },
      {
        extends: true,
        test: {
          name: 'services',
          include: ['test/conformance/**/*.test.ts', 'test/chaos/**/*.test.ts'],
          exclude: [...leftOut, ...apart.flatMap(suitesOf)],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
      ...apart.map((name) => ({
        extends: true as const,
        test: {
          name,
          include: [...suitesOf(name)],
          exclude: leftOut,
          testTimeout: 180_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      })),
      {
        extends: true,
        test: {
          name: 'package',
          include: ['test/package/**/*.test.ts'],
          globalSetup: ['test/package/setup.ts'],
          testTimeout: 120_000,
          hookTimeout: 240_000,
          fileParallelism: false,
        },
      },
    ],
  },
})

export default config
