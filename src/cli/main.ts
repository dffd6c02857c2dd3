#!/usr/bin/env node
// npx fairlead: what is done by hand, for whoever is on call. No logic here: run.ts has it, so that tests can call it.
import { run } from './run.ts'

process.exitCode = await run(process.argv.slice(2), {
  out: (text) => void process.stdout.write(`${text}\n`),
  err: (text) => void process.stderr.write(`${text}\n`),
  env: process.env,
  cwd: process.cwd(),
})
