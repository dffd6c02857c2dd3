// docs/errors.md, for `npm run generate` and `npm run check`.
export { path, render } from '../errors-doc.ts'
