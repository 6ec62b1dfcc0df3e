import { cases } from './hook.js'

cases('19')
