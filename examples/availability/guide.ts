// Where the figures stand in the guide.
const BEGIN = '<!-- figures: npm run demo:availability -->'
const END = '<!-- end of figures -->'

/** The guide with these figures in place of those that it has. */
export function inGuide(guide: string, figures: string): string {
  const [from, until] = [guide.indexOf(BEGIN), guide.indexOf(END)]
  if (from < 0 || until < from) throw new Error(`the guide has no place for figures: ${BEGIN} ... ${END}`)
  return `${guide.slice(0, from + BEGIN.length)}\n${figures}\n${guide.slice(until)}`
}
