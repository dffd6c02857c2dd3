// What is broken on purpose is caught on MariaDB.
import { catchesAll } from '../kit/catches-all.ts'

catchesAll({ database: 'mariadb' }, ['id-cursor', 'ack-before-commit'])
