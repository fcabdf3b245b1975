// Runs the cases of kafkajs. Usage: main.mjs BOOTSTRAP PREFIX [PART-OF-A-NAME]
import './groups.mjs'
import './data.mjs'
import './admin.mjs'
import './security.mjs'
import { main } from './runner.mjs'

await main()
