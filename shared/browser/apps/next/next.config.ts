import type { NextConfig } from 'next'

const config: NextConfig = { output: 'export', basePath: '/app' }

export default config
