// Lets everything that asks for React have React 18.
import Module, { register } from 'node:module'

const names = { 'react': 'react-18', 'react-test-renderer': 'react-test-renderer-18' }
const resolve = Module._resolveFilename
Module._resolveFilename = (name, ...rest) => resolve(names[name] ?? name, ...rest)
register('data:text/javascript,' + encodeURIComponent(
  `const names = ${JSON.stringify(names)}
   export const resolve = (name, context, next) => next(names[name] ?? name, context)`))
