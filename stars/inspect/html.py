"""The quality page as one self-contained HTML file: light and dark, responsive, all texts escaped."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, StrictUndefined

STYLE = """\
  :root {
    color-scheme: light dark; --text: #1b1b1b; --quiet: #5c5c5c; --page: #fff; --line: #c9cdd1; --card: #f4f5f7;
    --bar: #7d8b99; --warn: #b84600; --left: #0072b2; --right: #d55e00; --centre: #4a4a4a;
  }
  @media (prefers-color-scheme: dark) {
    :root {
      --text: #ececec; --quiet: #a9a9a9; --page: #16181b; --line: #4a5056; --card: #1f2327;
      --bar: #7f8d9b; --warn: #ff9d5c; --left: #56b4e9; --right: #f08c3a; --centre: #c4c4c4;
    }
  }
  body { margin: 1.5rem auto 4rem; padding: 0 1rem; max-width: 76rem; color: var(--text); background: var(--page); }
  body { font: 1rem/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
  h1 { font-size: 1.5rem; margin: 0 0 .3rem; }
  h2 { font-size: 1.15rem; margin: 2.6rem 0 .5rem; }
  h3 { font-size: 1rem; margin: 0 0 .4rem; }
  p { margin: .3rem 0 .8rem; max-width: 46rem; }
  figure { margin: 0; }
  code { font-size: .92em; }
  details { margin: .2rem 0 .8rem; }
  summary { cursor: pointer; }
  .quiet, figcaption { color: var(--quiet); }
  .warn { color: var(--warn); font-weight: 600; }
  .number { text-align: right; font-variant-numeric: tabular-nums; }
  .tiles { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1rem 0; }
  .tiles > div { flex: 1 1 8.5rem; max-width: 16rem; padding: .5rem .8rem; background: var(--card); border-radius: .4rem; }
  .tiles b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
  .bars { columns: 20rem; column-gap: 2.5rem; margin: 0 0 1.4rem; padding: 0; list-style: none; font-size: .9rem; }
  .bars li { display: grid; grid-template-columns: minmax(0, 12rem) minmax(3rem, 9rem) 3.2rem; gap: .5rem; align-items: center; }
  .bars li { break-inside: avoid; padding: .1rem 0; }
  .bars.short { columns: 14rem; }
  .bars.short li { grid-template-columns: 2.2rem minmax(3rem, 9rem) 3.4rem; }
  .bars i { height: .7rem; background: var(--bar); border-radius: 0 2px 2px 0; }
  .histograms { display: flex; flex-wrap: wrap; align-items: flex-end; gap: 1.8rem; margin-bottom: 1.6rem; }
  .histograms > figure { flex: 1 1 17rem; max-width: 26rem; }
  .plot { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: .2rem .5rem; font-size: .82rem; color: var(--quiet); }
  .scale { display: flex; flex-direction: column; justify-content: space-between; margin: -.6em 0; text-align: right; font-variant-numeric: tabular-nums; }
  .columns { position: relative; display: flex; align-items: flex-end; gap: 2px; height: 8rem; border: solid var(--quiet); border-width: 0 0 1px 1px; }
  .columns i { flex: 1; background: var(--bar); border-radius: 2px 2px 0 0; }
  .columns i.some { min-height: 3px; }
  .columns i.beyond { background: var(--warn); }
  .columns b { position: absolute; left: 33.333%; height: 100%; padding-left: .4rem; border-left: 1px dashed var(--warn); }
  .columns b { font-size: .82rem; font-weight: 400; color: var(--quiet); }
  .ends { grid-column: 2; display: flex; justify-content: space-between; }
  .wide { overflow-x: auto; }
  table { border-collapse: collapse; font-size: .92rem; white-space: nowrap; }
  th, td { padding: .25rem 1.2rem .25rem 0; text-align: left; font-weight: 400; }
  thead th { font-weight: 600; border-bottom: 1px solid var(--line); }
  th.number, td.number { text-align: right; }
  svg { display: block; width: 100%; overflow: visible; fill: none; stroke-linecap: round; stroke-linejoin: round; }
  svg .left { stroke: var(--left); }
  svg .right { stroke: var(--right); }
  svg .centre { stroke: var(--centre); }
  svg g { stroke-width: 1; }
  svg g.body1 { stroke-width: 1.9; }
  svg .head { fill: var(--centre); stroke: none; }
  svg .mark { stroke: var(--text); stroke-width: 1.2; }
  svg .leader { stroke: var(--line); stroke-width: .3; }
  svg text { fill: var(--text); font-family: system-ui, sans-serif; }
  b.left { color: var(--left); }
  b.right { color: var(--right); }
  b.centre { color: var(--centre); }
  .skeleton { max-width: 40rem; }
  .card { padding: .8rem 1rem; margin: 0 0 .9rem; background: var(--card); border-radius: .4rem; }
  .card ul { margin: .2rem 0 .6rem; padding-left: 1.2rem; }
  .strip { display: flex; flex-wrap: wrap; gap: .5rem; }
  .strip figure { flex: 1 1 6.2rem; max-width: 11rem; }
  .strip svg { height: 8.5rem; }
  figcaption { font-size: .82rem; text-align: center; }
"""
BODY = (
    """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}: quality of the data</title>
<style>
"""
    + STYLE
    + """\
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p class="quiet">Clips as training sees them, in <code>results/{{ name }}/clips</code>. Frames count from 0.</p>
<div class="tiles">
{%- for tile in tiles %}
<div>{{ tile.label }}<b>{{ tile.value }}</b><span class="{{ "warn" if tile.differs else "quiet" }}">{{ tile.note }}</span></div>
{%- endfor %}
</div>
{%- for line in explanation %}
<p class="warn">{{ line }}.</p>
{%- endfor %}

<h2>The skeleton, as described</h2>
<p><b class="left">Left</b>, <b class="right">right</b>, <b class="centre">centre</b>; the first body has thick lines, a second one thin lines.
If sides or bones look wrong here, correct <code>joints</code>, <code>parents</code>, <code>mirror</code> or <code>up</code> in the data set's description.</p>
<div class="skeleton">{{ skeleton }}</div>

<h2>Counts</h2>
{%- for chart in counts %}
<h3>{{ chart.title }}</h3>
<ul class="bars{{ " short" if chart.short }}">
{%- for bar in chart.bars %}
<li><span>{{ bar.label }}</span><i style="width:{{ bar.size }}%"></i>
<span class="number{{ " warn" if not bar.count }}">{{ "{:,}".format(bar.count) }}</span></li>
{%- endfor %}
</ul>
{%- endfor %}
{%- if single %}
<p class="quiet">{{ single }}.</p>
{%- endif %}

<h2>Length of clips</h2>
<div class="histograms">{{ histogram(lengths) }}</div>

<h2>Missing bodies</h2>
<div class="wide"><table>
<thead><tr><th></th>
{%- for column in ("clips", "never in the clip", "in some frames only", "frames without it") %}<th class="number">{{ column }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for row in missing %}
<tr><th scope="row">{{ row.label }}</th><td class="number">{{ "{:,}".format(row.clips) }}</td>
{%- for share in (row.never, row.at_times, row.frames) %}<td class="number">{{ "{:.1f} %".format(100 * share) }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody>
</table></div>

<h2>Dropped files</h2>
{%- for group in dropped %}
<details><summary>{{ "{:,}".format(group.count) }}: {{ group.reason }}</summary>
<ul>{% for file in group.files %}<li>{{ file }}</li>{% endfor %}</ul>
{%- if group.count > group.files|length %}<p class="quiet">and {{ "{:,}".format(group.count - group.files|length) }} more, all in quality.json</p>{% endif %}
</details>
{%- else %}
<p>None.</p>
{%- endfor %}

<h2>Suspicious clips</h2>
<p>{{ suspicious }} They stay in the data; all are in <code>suspicious.csv</code>. Limits are keys under <code>inspect</code> in the configuration.</p>
<div class="histograms">
{%- for chart in limits %}{{ histogram(chart) }}{% endfor -%}
</div>
{%- for card in cards %}
<div class="card"><h3>{{ loop.index }}. {{ card.name }}</h3>
<span class="quiet">{{ card.about }}</span>
<ul>{% for why in card.reasons %}<li>{{ why }}</li>{% endfor %}</ul>
<div class="strip">
{%- for frame, picture in card.pictures %}<figure>{{ picture }}<figcaption>frame {{ frame }}</figcaption></figure>{% endfor -%}
</div></div>
{%- endfor %}
<p class="quiet">Inspect one clip, with the outcome of denoising: <code>stars inspect CLIP --config FILE</code></p>
</body>
</html>
"""
)
HISTOGRAM = """\
{% macro histogram(chart) %}<figure><h3>{{ chart.title }}</h3>
<div class="plot"><div class="scale"><span>{{ "{:,}".format(chart.tallest) }}</span><span>{{ "{:,}".format(chart.tallest // 2) }}</span><span>0</span></div>
<div class="columns">
{%- for bar in chart.bars %}
<i class="{{ "some" if bar.count }}{{ " beyond" if bar.beyond }}" style="height:{{ bar.size }}%" title="{{ bar.label }}: {{ bar.count }}"></i>
{%- endfor %}
{%- if chart.limit %}<b>limit {{ chart.limit }}</b>{% endif %}
</div>
<div class="ends"><span>{{ chart.low }}</span><span>{{ chart.middle }}</span><span>{{ chart.high }}</span></div></div></figure>
{% endmacro %}"""


def render(**content: Any) -> str:
    """Render the page; jinja2 escapes every text that is not `Markup`."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(HISTOGRAM + BODY).render(**content) + "\n"
