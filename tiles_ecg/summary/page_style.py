"""Style of the page: one sheet for screens of any width, light and dark, and for paper."""

STYLE = """\
:root {
  --text: #1b1f24; --quiet: #57606a; --back: #ffffff; --raised: #f4f6f8; --line: #d0d7de; --accent: #0b5cad;
}
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e9ec; --quiet: #a1a9b3; --back: #14181d; --raised: #1f252c; --line: #3a434d; --accent: #6cb0f5; }
}
* { box-sizing: border-box; }
html { color-scheme: light dark; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main, nav { max-width: 78rem; margin: 0 auto; padding: 0 1rem; }
main { padding-bottom: 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; }
h2 { font-size: 1.35rem; margin-top: 3rem; padding-top: .6rem; border-top: 2px solid var(--line); }
h3 { font-size: 1.08rem; margin-top: 2rem; }
p, li { max-width: 48rem; overflow-wrap: anywhere; }
a { color: var(--accent); }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; }
code { font: .86em/1.4 ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
.table { overflow: auto; max-height: 85vh; margin: 1rem 0 1.5rem; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: separate; border-spacing: 0; font-size: .88rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .5rem .7rem; color: var(--quiet); }
caption span { display: block; position: sticky; left: .7rem; max-width: min(48rem, 85vw); }
th, td { padding: .35rem .7rem; text-align: right; vertical-align: top; border-top: 1px solid var(--line); }
td { white-space: nowrap; }
th.text, td.text { text-align: left; }
td.wide { white-space: normal; min-width: 18rem; }
thead th { position: sticky; top: 0; z-index: 2; background: var(--raised); vertical-align: bottom; }
tbody th, thead th:first-child { position: sticky; left: 0; text-align: left; background: var(--raised); }
tbody th { font-weight: 500; }
tbody th { z-index: 1; min-width: 9rem; max-width: 17rem; overflow-wrap: anywhere; }
thead th:first-child { z-index: 3; }
.quiet { color: var(--quiet); }
details { margin: 1rem 0; }
summary { cursor: pointer; font-weight: 600; }
.figures { display: grid; max-width: 55rem; gap: 2rem; }
figure { margin: 0; }
figure img { display: block; max-width: 100%; height: auto; background: #ffffff; border-radius: 6px; }
figcaption { font-size: .88rem; color: var(--quiet); padding-top: .4rem; }
figcaption b { color: var(--text); }
@media (max-width: 40rem) {
  main, nav { padding-left: .7rem; padding-right: .7rem; }
  tbody th { max-width: 9rem; min-width: 7rem; }
  th, td { padding: .3rem .45rem; }
}
@media print {
  :root { --text: #000; --quiet: #333; --back: #fff; --raised: #f4f4f4; --line: #999; --accent: #000; }
  @page { size: A4 landscape; margin: 12mm; }
  @page upright { size: A4 portrait; margin: 12mm; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  .table { overflow: visible; max-height: none; border: 0; }
  table { font-size: 7.5pt; }
  th, td { padding: 2pt 4pt; position: static !important; }
  td.wide { min-width: 0; }
  .figures, h3:has(+ .figures) { page: upright; }
  .figures { display: block; }
  figure { margin-bottom: 8mm; }
  figure img { max-height: 245mm; }
  caption, thead, tr, figure { break-inside: avoid; }
  h2, h3, caption, thead { break-after: avoid; }
  details::details-content { content-visibility: visible; display: block; height: auto; }
}
"""
