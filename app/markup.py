"""The pieces of HTML and Markdown that Streamlit has no widget for. Names in them are foreign."""

import re
from collections.abc import Sequence
from html import escape

import numpy as np
import pandas as pd

from app.answers import percent

STYLE = """
<style>
.stMainBlockContainer {padding-top: 3rem}
.bars {display: grid; grid-template-columns: minmax(0, max-content) minmax(25%, 1fr) max-content;
       gap: .45rem .75rem; align-items: center; font-size: .95rem}
.bars > div {min-width: 0; overflow-wrap: anywhere}
.bars .track {height: .6rem; border-radius: .3rem; overflow: hidden;
              background: color-mix(in srgb, currentColor 10%, transparent)}
.bars .share {height: 100%; border-radius: .3rem; background: #2f6f4f}
.bars .rest {opacity: .75}
.bars .number {min-width: 4.2rem; text-align: right; font-variant-numeric: tabular-nums}
.confusion {overflow-x: auto}
.confusion table {border-collapse: separate; border-spacing: 3px; font-size: .9rem}
.confusion th {font-weight: 500; text-align: right; padding: 0 .4rem; white-space: nowrap}
.confusion tbody th {white-space: normal; min-width: 6rem; max-width: 10rem}
.confusion thead th {writing-mode: vertical-rl; transform: rotate(180deg); text-align: left;
                     padding: .4rem 0}
.confusion td {min-width: 2.4rem; height: 2.4rem; text-align: center; border-radius: .3rem;
               font-variant-numeric: tabular-nums}
.confusion td.none {opacity: .35}
</style>
"""
"""Once a page: for `bars` and `confusion_table`, and less empty space at the top."""


NOT_BY_BACKSLASH = re.compile(
    r"""(?i:(?<=http:)|(?<=https:))(?=//)  # addresses, and those without http
    |(?i:(?<=www))(?=\.)
    |(?<=@)(?=[-\w]+\.[-\w])  # of mail; in the command `dvc repro train@Model` nothing may stand
    |(?<=:)(?=material/|streamlit:)  # Streamlit's icons
    |(?<=(?<!\S)[<>~-])(?=[-=>])  # -- and -> among blanks, for which Streamlit sets one sign
    """,
    re.VERBOSE,
)
"""Where text becomes a link or a sign only after its backslashes are gone."""
WORD_JOINER = "\u2060"


def plain(text: str) -> str:
    """Escape what Markdown would take for its own: a class or a file may be called ``a_b*``."""
    parted = NOT_BY_BACKSLASH.sub(WORD_JOINER, text)
    return re.sub(r"([\\`&*_{}\[\]()#+.!|$~:<>-])", r"\\\1", parted)


def bars(class_names: Sequence[str], confidence: np.ndarray) -> str:
    """Draw each class's share as a bar, the largest first."""
    rows = [
        _bar(class_names[number], float(confidence[number]), "rest" if place else "best")
        for place, number in enumerate(np.argsort(-confidence, kind="stable"))
    ]
    return f'<div class="bars">{"".join(rows)}</div>'


def confusion_table(counts: pd.DataFrame) -> str:
    """Write a confusion matrix as a table, each row shaded by the share of its photos."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in counts.columns)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{_cells(name, row)}</tr>'
        for name, row in counts.iterrows()
    )
    return (
        f'<div class="confusion"><table><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _bar(name: str, share: float, kind: str) -> str:
    return (
        f'<div class="{kind}">{escape(name)}</div>'
        f'<div class="track {kind}" aria-hidden="true">'
        f'<div class="share" style="width: {share:.1%}"></div></div>'
        f'<div class="number {kind}">{percent(share)}</div>'
    )


def _cells(label: str, counts: pd.Series) -> str:
    return "".join(
        _cell(int(count), count / max(counts.sum(), 1), right=name == label)
        for name, count in counts.items()
    )


def _cell(count: int, share: float, *, right: bool) -> str:
    if not count:
        return '<td class="none">·</td>'
    colour = "#2f6f4f" if right else "#b4532a"
    # Below, the shade is so light that dark ink stands out more.
    ink = "#ffffff" if share > 0.8 else "inherit"
    # A single photo among a hundred has to be seen as well.
    shade = max(share, 0.12)
    return (
        f'<td style="background: color-mix(in srgb, {colour} {shade:.0%}, transparent); '
        f'color: {ink}">{count}</td>'
    )
