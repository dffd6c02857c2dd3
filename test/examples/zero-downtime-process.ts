// One instance of the recipe for deploys, as a process: path of the file that it announces itself in, and its version.
import { fileRegistrar } from 'fairlead/file'
import { serve } from '../../examples/zero-downtime-deploy.ts'

const [path = '', version = ''] = process.argv.slice(2)
const warehouse = { connect: async () => {}, levelOf: async () => 7, reachable: async () => true }
const server = await serve(fileRegistrar({ path, staleMs: 3_000 }), warehouse, version, '127.0.0.1')
console.log(server.registered ? 'announced' : 'not announced')
