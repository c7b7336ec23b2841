"""The report page: in a real browser, whole, inert whatever data is called, the same each time; what it is made from
is true.
"""

import base64
import json
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from browser import CHROMIUM, browser
from hypothesis import given
from hypothesis import strategies as st
from tiny import CONFIG, snakemake

from stars import cli
from stars.data.store import TABLE, ClipStore
from stars.errors import InputError
from stars.evaluation.feature_map import spread
from stars.evaluation.projection import nearest, principal, unit
from stars.paper import sources
from stars.paper.sources.records import behind
from stars.pipeline import configuration
from stars.provenance.lineage import Lineage
from stars.report.clips import LEVELS, pack, quantise
from stars.report.document import embedded
from stars.report.explorer import align, chosen
from stars.report.page import ReportStage, report

PAGE = Path("results/report/index.html")
EVIL = [
    '<img src=x onerror="window.hacked=1">',
    "</script><script>window.hacked=2</script>",
    "a & b",
    '"><svg onload=window.hacked=3>',
]
# of a canvas, by its id
REMEMBER, CHANGED = "void (window.{0}_before = {0}.toDataURL())", "{0}_before !== {0}.toDataURL()"
# all that was asked for is on the canvases
DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def page():
    with browser() as opened:
        yield opened


@pytest.fixture
def there(finished, monkeypatch) -> Path:
    """Working directory: a finished project."""
    monkeypatch.chdir(finished)
    return finished


def shown(page, path: Path, *window, **media):
    """The page open and ready, and nothing to complain of."""
    page.errors.clear()
    page.open(path, *window, **media)
    page.wait("document.querySelectorAll('#strip canvas').length > 0")


def centre(page, selector: str, x: float = 0.5, y: float = 0.5) -> tuple[float, float]:
    """Place in the window of a spot of an element, scrolled to."""
    script = f"""(() => {{ document.documentElement.style.scrollBehavior = 'auto'; const e = document.querySelector({selector!r});
        e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect(); return [b.left + {x} * b.width, b.top + {y} * b.height]; }})()"""
    return tuple(page.run(script))


@needs_browser
def test_a_claim_opens_the_clips_behind_it(own, page, tmp_path):
    block = {
        "says": "Training helps",
        "source": "–",
        "method": "mamp",
        "against": "scratch",
        "measure": "knn",
        "expect": "higher",
        "matters": 1,
    }
    (tmp_path / "claims.yaml").write_text(yaml.safe_dump({"knn": block, "tuned": {**block, "method": "dino"}}))
    (tmp_path / "more.yaml").write_text(
        yaml.safe_dump({"claims": {"file": str(tmp_path / "claims.yaml")}, "report": {"shows": ["claims"]}})
    )
    done = snakemake(own, "report", config=(CONFIG, tmp_path / "more.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    shown(page, own / PAGE)
    assert page.run("document.querySelectorAll('.claims tbody tr').length") == 1
    assert "no method dino" in page.run("document.querySelector('#claims details').textContent")
    found = json.loads((own / "results/claims/claims.json").read_text())["claims"][0]["found"]
    side = max(("gained", "lost"), key=lambda name: len(found[name]))
    page.run(f"document.querySelector('.behind[data-side={side}]').click()")
    assert page.run("document.getElementById('said').textContent") and page.run(
        "document.getElementById('strip-title').textContent"
    ).startswith("MAMP − ")
    assert page.run("document.querySelectorAll('#strip button').length") == min(len(found[side]), 12)
    assert not page.errors and not page.requests


@needs_browser
def test_the_explorer_plays_clips_by_mouse_and_keyboard(there, page):
    shown(page, PAGE)
    page.run(REMEMBER.format("player"))
    page.wait(CHANGED.format("player"))  # it moves by itself
    page.run("document.getElementById('play').click()")
    page.run(REMEMBER.format("player"))
    time.sleep(0.3)
    assert not page.run(CHANGED.format("player")) and page.run("document.getElementById('play').textContent") == "Play"
    seen = set()
    page.run("document.getElementById('map').focus()")
    for key in ("ArrowUp", "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowDown"):
        page.press(key)
        seen.add(page.run("document.getElementById('facts').textContent"))
    assert len(seen) >= 3
    kept = page.run("document.getElementById('facts').textContent")
    page.press("Enter")
    for x in np.linspace(0.1, 0.9, 9):
        page.mouse(*centre(page, "#map", x, 0.5))
    assert page.run("document.getElementById('facts').textContent") == kept  # Enter keeps it
    page.press("Escape")
    for x, y in [(x, y) for x in np.linspace(0.05, 0.95, 25) for y in (0.3, 0.5, 0.7)]:
        page.mouse(*centre(page, "#map", x, y))
    assert page.run("document.getElementById('facts').textContent") != kept  # and Escape lets go
    assert page.errors == [] and page.requests == []


@needs_browser
def test_methods_are_switched_and_a_cell_s_clips_are_shown(there, page):
    shown(page, PAGE)
    score = page.run("document.getElementById('score').textContent")
    page.run(REMEMBER.format("map"))
    page.run("document.querySelectorAll('#methods button')[0].click()")
    page.wait(CHANGED.format("map"))
    assert page.run("document.getElementById('score').textContent") != score
    page.run("document.querySelectorAll('#colours button')[1].click()")
    assert all(
        re.fullmatch(r"subject \d+", text)
        for text in page.run("[...document.querySelectorAll('#legend button')].map(b => b.textContent)")
    )
    page.mouse(*centre(page, "#confusion", 0.97, 0.97), click=True)  # the last cell of the diagonal, or what is near
    page.run("document.getElementById('confusion').focus()")
    for key in ("ArrowUp", "ArrowLeft", "ArrowUp", "ArrowLeft", "ArrowUp", "ArrowLeft"):
        page.press(key)
    told = page.run("document.getElementById('cell').textContent")
    assert re.search(r": \d+ of \d+ \(\d+ %\) correct$", told)
    page.run("document.querySelector('#pairs button').click()")
    count = int(page.run("document.querySelector('#pairs small').textContent"))
    assert page.run("document.getElementById('strip-title').textContent").startswith(f"{count} of “")
    assert page.run("document.querySelectorAll('#strip canvas').length") == min(count, 12) and page.errors == []


def typed(page, text: str) -> str:
    """What the field says that finds clips, when this stands in it."""
    page.run("document.getElementById('find').focus(); document.getElementById('find').select()")
    page.ask("Input.insertText", text=text)
    return page.run("document.getElementById('found').textContent")


@needs_browser
def test_clips_are_found_by_name_or_action_and_let_go_again(there, page):
    shown(page, PAGE)
    names = pd.read_csv("results/demo_xsub/stars/map/map.csv")["name"]
    page.run("document.querySelectorAll('#legend button')[0].click()")
    assert page.run("document.querySelectorAll('#legend [aria-pressed=true]').length") == 1
    one = names.iloc[-1]
    assert typed(page, one.lower()) == "1 found"
    assert page.run("[...document.querySelectorAll('#facts dd')].map(e => e.textContent)")[1] == one
    assert page.run("document.querySelectorAll('#strip canvas').length") == 1
    assert page.run("document.querySelectorAll('#legend [aria-pressed=true]').length") == 0
    assert typed(page, "no such clip") == "0 found"
    # of the one that was found
    assert page.run("document.getElementById('strip-title').textContent").startswith("Nearest test clips")
    assert page.run("document.querySelectorAll('#strip canvas').length") > 1
    page.run(DRAWN)
    page.run(REMEMBER.format("map"))
    for _ in range(2):  # one action alone, and all again
        page.run("document.querySelectorAll('#legend button')[0].click()")
    page.run(DRAWN)
    assert not page.run(CHANGED.format("map"))  # nothing stood out any more
    action = page.run("document.querySelector('#legend button').textContent")
    count = int(typed(page, action).split()[0])
    assert 0 < count < len(names) and page.run("document.querySelectorAll('#strip canvas').length") == min(count, 12)
    page.run(REMEMBER.format("map"))
    page.press("Escape")
    page.wait(CHANGED.format("map"))
    assert page.run("document.getElementById('find').value") == "" and page.errors == []


@needs_browser
def test_the_head_says_what_when_by_what_source_and_whether_all_was_as_recorded(there, page, tmp_path):
    shown(page, PAGE)
    about = page.run("document.querySelector('.about').textContent")
    assert "Simulated" in about and re.search(r"\d{4}-\d\d-\d\d", about) and "✓ passed" in about
    value = page.run("document.querySelector('.headline .from').textContent")
    assert re.fullmatch(r"\d+\.\d %", value) and "STARS" in page.run("document.querySelector('.headline').textContent")
    assert page.run("document.querySelector('.methods legend').textContent").startswith("Method, KNN accuracy at K = ")
    assert page.run(
        "document.getElementById('map').getBoundingClientRect().top <"
        " document.getElementById('find').getBoundingClientRect().top"
    )


def test_a_changed_number_stands_at_the_head_and_a_folder_may_be_called_anything(own, tmp_path, monkeypatch):
    monkeypatch.chdir(own)
    Path("results").rename(tmp_path / "results0")
    told = ["report", "--config", CONFIG, "--results", str(tmp_path / "results0"), "--out"]
    assert cli.main([*told, str(tmp_path / "same")]) == 0
    assert (tmp_path / "same/index.html").read_text() == (tmp_path / "results0/report/index.html").read_text()
    table = tmp_path / "results0/tables/table2.md"
    table.write_text(table.read_text() + "more")
    (tmp_path / "results0/demo/clips/frames.npy").unlink()
    assert cli.main([*told, str(tmp_path / "other")]) == 0
    text = (tmp_path / "other/index.html").read_text()
    assert (
        "<b>✗ not passed</b>: 1 finding, below" in text and "results/tables/table2.md differs from its record" in text
    )


@needs_browser
def test_the_other_map_is_another_map(there, page):
    shown(page, PAGE, prefers_reduced_motion="reduce")
    seen = []
    for kind in (1, 0, 1):
        page.run(REMEMBER.format("map"))
        page.run(f"document.querySelectorAll('#kinds button')[{kind}].click()")
        page.wait(CHANGED.format("map"))
        seen.append(page.run("document.getElementById('map').toDataURL()"))
    assert seen[0] == seen[2] != seen[1] and page.errors == []


@needs_browser
def test_tables_sort_and_numbers_lead_to_the_raw_files(there, page):
    shown(page, PAGE)
    head = "document.querySelectorAll('#tables table')[0].tHead.rows[1].cells"
    column = page.run(f"[...{head}].findIndex(h => h.classList.contains('number'))")
    rows = "[...document.querySelectorAll('#tables table')[0].querySelectorAll('tbody:not([hidden]) tr:not(.group)')]"
    ranked = f"{rows}.filter(r => r.matches('.own, .published'))"
    original = page.run(f"{rows}.map(r => r.cells[0].textContent)")
    orders = []
    for _ in range(3):
        page.run(f"{head}[{column}].querySelector('button').click()")
        orders.append([float(text) for text in page.run(f"{ranked}.map(r => r.cells[{column}].dataset.value)") if text])
        assert page.run(f"{rows}.at(-1).className") == "test"  # p-values stay below
    assert orders[0] == sorted(orders[0], reverse=True) and orders[1] == sorted(orders[1])
    assert page.run(f"{rows}.map(r => r.cells[0].textContent)") == original
    page.run("[...document.querySelectorAll('tr.own button.from')].at(-1).focus()")
    page.press("Enter")
    assert page.run("document.getElementById('lineage').open")
    chain = page.run("document.getElementById('lineage-chain').textContent")
    assert "results/demo/raw.zip" in chain and "stars.data.simulate" in chain and "knn/metrics.json" in chain
    assert page.run("document.getElementById('lineage-command').textContent").split()[:2] == ["stars", "knn"]
    page.press("Escape")
    assert not page.run("document.getElementById('lineage').open") and page.errors == []


@needs_browser
def test_it_fits_a_narrow_window_and_keeps_still_where_that_is_asked_for(there, page):
    for scheme in ("light", "dark"):
        shown(page, PAGE, 400, 800, prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
        assert page.run("document.documentElement.scrollWidth") <= 400
        time.sleep(0.3)
        assert page.run("document.getElementById('play').textContent") == "Play"
        page.run(REMEMBER.format("player"))
        page.run("document.getElementById('play').click()")
        page.wait(CHANGED.format("player"))  # asked to, it plays
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(19, 21, 24)" and page.errors == []


@needs_browser
def test_a_narrow_window_names_the_classes_and_shows_whole_settings_and_captions_once(there, page):
    shown(page, PAGE, 400, 800)
    classes = page.run(
        "JSON.parse(document.getElementById('data-of-the-page').textContent).explorers[0].classes.length"
    )
    width = page.run("document.getElementById('confusion').clientWidth")
    assert width - 14 * classes > 30  # names beside cells of 14 pixels or more
    assert page.run("document.querySelector('.settings').scrollWidth") <= 400
    names = page.run("[...document.querySelectorAll('.settings code')].map(e => e.innerHTML)")
    assert names and all(re.fullmatch(r"([a-z0-9]+[._]?<wbr>)+", name) for name in names)
    heights = page.run("[...document.querySelectorAll('#score button')].map(e => e.getClientRects()[0].height)")
    assert heights and max(heights) < 40
    captions = page.run("[...document.querySelectorAll('.caption')].map(e => e.textContent)")
    assert captions
    for caption in captions:
        assert page.run("document.body.innerText").count(caption) == 1


@needs_browser
def test_the_first_clip_has_its_wrong_label_among_the_neighbours_shown(there, page, tmp_path):
    head, text = PAGE.read_text().split('id="data-of-the-page">')
    data, _ = json.JSONDecoder().raw_decode(text)
    run = data["explorers"][0]
    method = run["methods"][run["shown"]]
    first, *_ = wrong = [at for at, action in enumerate(run["action"]) if action != method["predicted"][at]]
    method["neighbours"][first] = [run["action"].index(run["action"][first])]  # hides the predicted action
    path = tmp_path / PAGE.name
    path.write_text(f'{head}id="data-of-the-page">{embedded(data)}{text[text.index("</script>") :]}')
    shown(page, path)
    said, *near = page.run("[...document.querySelectorAll('#said, #strip button > span')].map(e => e.textContent)")
    assert len(wrong) > 1 and said.split(", predicted ")[1] in near
    assert page.run("document.getElementById('facts').children[3].textContent") != run["names"][first]
    assert f"K = {run['k']}" in page.run("document.getElementById('confusion-title').textContent")


@needs_browser
def test_what_data_is_called_does_nothing(own, monkeypatch, page):
    monkeypatch.chdir(own)
    path = own / "results/demo/clips" / TABLE
    table = pd.read_csv(path)
    table["action_name"] = [
        dict(zip(sorted(set(table["label"])), EVIL, strict=True))[label] for label in table["label"]
    ]
    table.to_csv(path, index=False)
    drawn = sources.report(configuration.load_file(CONFIG))
    drawn.settings["data"][0]["dataset"].update(
        title=EVIL[0], actions=dict.fromkeys(drawn.settings["data"][0]["dataset"]["actions"], EVIL[0])
    )
    drawn.settings["explorers"][0].update(
        data_title=EVIL[1], methods=[{**one, "title": EVIL[1]} for one in drawn.settings["explorers"][0]["methods"]]
    )
    drawn.settings["departures"][0].update(ours=EVIL[3], methods=[EVIL[0]])
    report(ReportStage(**drawn.settings), {role: Path(file) for role, file in drawn.files.items()}, own / "report")
    shown(page, own / "report/index.html")
    page.run(
        "document.querySelectorAll('#methods button')[1].click(); document.querySelector('#pairs button')?.click()"
    )
    page.run("document.querySelector('#score button').click()")
    time.sleep(0.2)
    assert page.run("typeof window.hacked") == "undefined" and page.requests == [] and page.errors == []
    assert page.run("[...document.querySelectorAll('#legend button')].map(b => b.textContent)") == EVIL
    assert page.run("[...document.images].every(i => i.src.startsWith('data:image/svg+xml'))")
    # Even markup that got in could run nothing.
    page.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hacked=4\">')")
    page.run("fetch('https://example.org').catch(() => 0)")
    time.sleep(0.2)
    assert page.run("typeof window.hacked") == "undefined" and page.requests == []


def test_the_same_files_give_the_same_bytes_that_name_no_other_place(there, tmp_path):
    for name in ("one", "two"):
        assert cli.main(["report", "--config", CONFIG, "--out", str(tmp_path / name)]) == 0
    text = (tmp_path / "one/index.html").read_text()
    assert text == (tmp_path / "two/index.html").read_text() == PAGE.read_text()
    markup = text.split('<script type="application/json"')[0]
    assert {link.split("/")[0].split(",")[0] for link in re.findall(r'(?:src|href)="([^"#][^"]*)"', markup)} == {
        "data:",
        "data:image",
        "..",
    }
    assert not re.search(r"url\(|@import| style=| on\w+=", markup)
    assert "default-src &#39;none&#39;" in text and len(text.encode()) < 3_000_000


def test_every_record_behind_a_result_is_declared(there):
    config, lineage = configuration.load_file(CONFIG), Lineage.read(Path("results"))
    makers = lineage.makers()
    metrics = [path for path in makers if path.name in ("metrics.json", "map.csv")]
    assert len(metrics) > 12
    for path in metrics:
        found = {str(maker.path) for _, _, _, maker in lineage.chain(path) if maker is not None}
        assert found <= set(behind(config, [str(path)])), path
    assert all(Path(file).is_file() for file in behind(config, map(str, metrics)))


def test_a_file_that_is_gone_is_named(there, tmp_path):
    drawn = sources.report(configuration.load_file(CONFIG))
    files = {role: Path(file) for role, file in drawn.files.items()} | {"table1": tmp_path / "gone.json"}
    with pytest.raises(InputError, match=r"gone\.json is missing: run `snakemake report`"):
        report(ReportStage(**drawn.settings), files, tmp_path)
    with pytest.raises(InputError, match=r"report\.shows: no table or figure tabel1: did you mean table1\?"):
        sources.report(configuration.load_file(CONFIG, ["report.shows=[tabel1]"]))


def test_clips_come_back_to_a_few_millimetres(there):
    store, config = ClipStore.open("results/demo/clips"), configuration.load_file(CONFIG)
    skeleton = pytest.importorskip("stars.inspect.skeleton").Skeleton.of(configuration.dataset(config, "demo"))
    rows = np.arange(0, len(store), 5)
    packed = pack(store, rows, skeleton, fps=30)
    levels = np.frombuffer(base64.b64decode(packed["joints"]), np.uint8)
    at = 0
    for clip, row in enumerate(rows):
        frames, bodies = packed["frames"][clip], packed["bodies"][clip]
        size = frames * bodies * store.joints * 3
        x_tmvc = (
            levels[at : at + size].reshape(frames, bodies, -1, 3) * np.array(packed["step"][clip]) + packed["low"][clip]
        )
        at += size
        truth = np.array(store[row][::2, :bodies])
        seen = truth.any(axis=(2, 3))
        # turned, but as long
        ours, theirs = (np.linalg.norm(np.diff(x[seen], axis=1), axis=-1) for x in (x_tmvc, truth))
        assert np.abs(ours - theirs).max() < 0.015
    assert at == len(levels)


def test_an_absent_body_stays_absent():
    x_tmvc = np.zeros((3, 2, 4, 3))
    x_tmvc[:, 0] = np.random.default_rng(0).normal(size=(3, 4, 3))
    levels, low, step = quantise(x_tmvc, x_tmvc.any(axis=(2, 3)))
    assert (levels[:, 1] == 255).all() and levels[:, 0].max() == LEVELS
    assert np.abs(levels[:, 0] * step + low - x_tmvc[:, 0]).max() <= step.max() / 2 + 1e-9


def test_every_confusion_cell_gets_a_clip_before_any_gets_two():
    truth, predicted = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 0])
    assert chosen(truth, predicted, 4).tolist() == [0, 3, 4, 5] and chosen(truth, predicted, 9).tolist() == list(
        range(6)
    )


def test_maps_are_turned_not_bent():
    points = np.random.default_rng(0).normal(size=(30, 2))
    turned = points @ np.array([[0, 1], [1, 0]]) + 5
    methods = [{kind: x.copy() for kind in ("tsne", "pca")} for x in (points, turned)]
    align(methods)
    assert np.allclose(methods[0]["tsne"], methods[1]["tsne"], atol=2e-4) and np.abs(methods[0]["pca"]).max() == 1


def test_neighbours_and_components_equal_plain_ones(monkeypatch):
    monkeypatch.setattr("stars.evaluation.projection.COSINES", 100)  # blocks of two rows
    x_nc = unit(np.random.default_rng(0).normal(size=(40, 5)))
    near, cosines = nearest(x_nc, 3)
    for row in range(40):
        order = sorted(
            (other for other in range(40) if other != row), key=lambda other: -float(x_nc[row] @ x_nc[other])
        )
        assert near[row].tolist() == order[:3] and cosines[row][0] == pytest.approx(
            x_nc[row] @ x_nc[order[0]], abs=1e-5
        )
    variances = np.sort(np.linalg.eigvalsh(np.cov(x_nc.T)))[::-1]
    assert np.var(principal(x_nc), axis=0, ddof=1) == pytest.approx(variances[:2])
    assert (
        spread(5, 9).tolist() == [0, 1, 2, 3, 4] and spread(100, 3).tolist() == [0, 50, 99] and spread(0, 3).size == 0
    )


@given(st.text())
def test_data_stays_in_its_element(text):
    assert not set("<>&\u2028\u2029") & set(embedded({"name": text}))


def test_the_page_s_own_files_are_part_of_its_source(tmp_path, monkeypatch):
    from stars.provenance import code

    package = tmp_path / "stars"
    shutil.copytree(code.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "PACKAGE", package)
    digests, parts = [], []
    for _ in range(2):
        code.digest_of.cache_clear()
        parts.append(code.parts_of("stars.report.page"))
        digests.append([code.digest_of(stage) for stage in ("stars.report.page", "stars.evaluation.feature_map")])
        (package / "report/web/style.css").write_text("")
    code.digest_of.cache_clear()
    assert digests[0][0] != digests[1][0] and digests[0][1] == digests[1][1]
    assert {name for name, part in parts[0].items() if parts[1][name] != part} == {"stars.report.assets"}
