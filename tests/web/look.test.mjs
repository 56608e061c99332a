// The look is a promise too: every pair of text and ground meets WCAG AA in both themes, and nothing is colour alone.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

const css = readFileSync(new URL('../../web/src/app.css', import.meta.url), 'utf8')
const AA = 4.5 // WCAG 2.2, 1.4.3, text below 24 px
const PAIRS = [
  ...['ground', 'surface', 'raised'].flatMap((ground) => ['text', 'quiet'].map((text) => [text, ground])),
  ...['ground', 'surface'].flatMap((ground) => ['kelp', 'amber', 'coral', 'sky'].map((text) => [text, ground])),
  ['on-kelp', 'kelp'], ['on-coral', 'coral'],
]

function tokens(selector) {
  const body = css.slice(css.indexOf(selector)).split('{')[1].split('}')[0]
  return Object.fromEntries([...body.matchAll(/--([a-z-]+): (#[0-9A-Fa-f]{6});/g)].map(([, name, value]) => [name, value]))
}

function luminance(hex) {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}

function contrast(a, b) {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x)
  return (light + 0.05) / (dark + 0.05)
}

for (const [theme, selector] of [['dark', ':root {'], ['light', ":root[data-theme='light'] {"]]) {
  test(`text and ground meet AA in the ${theme} theme`, () => {
    const of = tokens(selector)
    for (const [text, ground] of PAIRS) {
      assert.ok(of[text] && of[ground], `${text} or ${ground} is missing`)
      const ratio = contrast(of[text], of[ground])
      assert.ok(ratio >= AA, `${text} on ${ground}: ${ratio.toFixed(2)} is under ${AA}`)
    }
  })
}

test('white on the phone\'s own dark plates meets AA', () => {
  for (const [text, plate] of [['#5BC2A2', '#0B1416'], ['#E0A43A', '#0B1416'], ['#F0765A', '#0B1416'], ['#FFFFFF', '#0B1416']]) {
    assert.ok(contrast(text, plate) >= AA)
  }
})

test('the names of the feeds meet AA over a white video', () => {
  const alpha = (file, found) => parseInt(readFileSync(new URL(`../../web/src/ui/${file}`, import.meta.url), 'utf8').match(found)[1], 16) / 255
  const over = (above, share, below) => Math.round(above * share + below * (1 - share))
  const grey = (v) => `#${v.toString(16).padStart(2, '0').repeat(3)}`
  const ground = over(0, alpha('Phone.svelte', /--veil: #000000(..);/), 255)
  const text = over(255, alpha('Tabs.svelte', /color: #ffffff(..);/), ground)
  assert.ok(contrast(grey(text), grey(ground)) >= AA)
})
