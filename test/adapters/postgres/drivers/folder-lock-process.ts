// Tries to take a lock, says what came of it, and keeps it until it is told to end.
import { lockFolder } from '../../../../src/adapters/postgres/drivers/folder-lock.ts'

try {
  lockFolder(process.argv[2] as string)
  process.stdout.write('won')
} catch (error) {
  process.stdout.write((error as { readonly code: string }).code)
}
process.stdin.resume().on('end', () => process.exit())
