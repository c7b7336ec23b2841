"""A table as one self-contained HTML page, with light and dark mode; all texts are escaped."""

from __future__ import annotations

from jinja2 import Environment, StrictUndefined

from stars.paper.grid import Table

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Table {{ table.number }}</title>
<style>
  :root { color-scheme: light dark; --text: #1b1b1b; --quiet: #5c5c5c; --page: #fff; --line: #c9c9c9; --band: #f1f3f5; --own: #e7f1f8; }
  @media (prefers-color-scheme: dark) {
    :root { --text: #ececec; --quiet: #a9a9a9; --page: #16181b; --line: #44484d; --band: #23272b; --own: #18303f; }
  }
  body { margin: 2rem auto; padding: 0 1rem; max-width: 84rem; color: var(--text); background: var(--page); font: 1rem/1.45 system-ui, sans-serif; }
  h1 { font-size: 1.05rem; font-weight: 600; max-width: 60rem; }
  .wide { overflow-x: auto; }
  table { border-collapse: separate; border-spacing: 0; font-size: .93rem; border-block: 2px solid var(--text); }
  th, td { padding: .24rem .55rem; text-align: left; white-space: nowrap; }
  thead th { font-weight: 600; vertical-align: bottom; }
  thead tr:last-child th { border-bottom: 1px solid var(--text); }
  thead .span { text-align: center; border-bottom: 1px solid var(--line); }
  tbody th { font-weight: 400; }
  tr { background: var(--page); }
  .own { background: var(--own); }
  tr > :first-child:not([colspan]) { position: sticky; left: 0; background: inherit; }
  tbody .group th { background: var(--band); font-style: italic; }
  .group span { position: sticky; left: .55rem; }
  .number { text-align: right; font-variant-numeric: tabular-nums; }
  thead .number { white-space: normal; }
  .quiet, sup { color: var(--quiet); }
  sup { line-height: 0; }
  u { text-underline-offset: .2em; }
  @media (max-width: 40rem) {
    body { margin: 1rem auto; }
    tbody th[scope="row"] { max-width: 9rem; white-space: normal; }
    th.quiet, td.quiet { display: none; }
  }
  .notes { font-size: .87rem; color: var(--quiet); padding-left: 1.2rem; max-width: 60rem; }
</style>
</head>
<body>
<h1>{{ table.caption }}</h1>
<div class="wide">
<table>
<thead>
{%- if table.headings() %}
<tr>{% for name in table.lead %}<td{% if not loop.first %} class="quiet"{% endif %}></td>{% endfor %}
{%- for text, span in table.headings() %}<th class="span" colspan="{{ span }}" scope="colgroup">{{ text }}</th>{% endfor %}</tr>
{%- endif %}
<tr>{% for name in table.lead %}<th scope="col"{% if not loop.first %} class="quiet"{% endif %}>{{ name }}</th>{% endfor %}
{%- for column in table.columns %}<th class="number" scope="col">{{ column.title }}</th>{% endfor %}</tr>
</thead>
{%- for group, rows in table.groups() %}
<tbody>
{%- if group %}
<tr class="group"><th colspan="{{ table.lead|length + table.columns|length }}" scope="rowgroup"><span>{{ group }}</span></th></tr>
{%- endif %}
{%- for row in rows %}
<tr{% if row.origin == "this run" %} class="own"{% endif %}>
{%- for fact in table.facts(row) %}{% if loop.first %}<th scope="row">{{ fact }}</th>{% else %}<td class="quiet">{{ fact }}</td>{% endif %}{% endfor %}
{%- for column in table.columns %}{% set cell = row.cells[column.key] %}<td class="number">{{ shown(cell, row) }}
{%- if cell.reason %}<sup title="{{ cell.reason }}">{{ reasons[cell.reason] }}</sup>{% endif %}</td>{% endfor %}</tr>
{%- endfor %}
</tbody>
{%- endfor %}
</table>
</div>
<ul class="notes">
{%- if table.ranks %}
<li>Best in a column <b>bold</b>, second <u>underlined</u>.</li>
{%- endif %}
{%- for reason, mark in reasons.items() %}
<li><sup>{{ mark }}</sup> {{ reason }}</li>
{%- endfor %}
{%- for note in table.notes %}
<li>{{ note }}</li>
{%- endfor %}
</ul>
</body>
</html>
"""
SHOWN = """\
{% macro shown(cell, row) %}{% set text = cell.text(row.origin) -%}
{% if cell.rank == 1 %}<b>{{ text }}</b>{% elif cell.rank == 2 %}<u>{{ text }}</u>{% else %}{{ text }}{% endif %}{% endmacro %}"""


def as_html(table: Table) -> str:
    """The page; jinja2 escapes all data."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(SHOWN + PAGE).render(table=table, reasons=table.reasons()) + "\n"
