// A hue (degrees) for a theme's name: each new name takes the next step of the golden angle, so neighbours lie far
// apart and a chip keeps its colour wherever it stands.

const GOLDEN = 137.508
const FIRST = 168 // kelp
const known = new Map()

export function hueOf(name) {
  if (!known.has(name)) known.set(name, Math.round((FIRST + known.size * GOLDEN) % 360))
  return known.get(name)
}
