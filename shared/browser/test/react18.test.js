import './react18.js'

const { cases } = await import('./hook.js')
cases('18')
