// What users rely on when processes, brokers and members die, by way of @platformatic/kafka.
import { describeTrouble } from './trouble.ts'

describeTrouble('@platformatic/kafka')
