"""What the manual and the repository's own files claim: links, messages, the map of the code, versions,
environments.
"""

from __future__ import annotations

import ast
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import links
import pytest
import yaml

from stars.provenance import code

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs"]
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
PINNED = dict(re.findall(r"(?m)^([\w.-]+)==(\S+)$", (ROOT / "envs/constraints.txt").read_text()))
TORCH = re.findall(r"(?m)^torch==(\S+)$", (ROOT / "envs/torch-cpu.txt").read_text())[0]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "stars").rglob("*.py")
)


def test_no_link_is_dead():
    assert list(links.dead(links.found([str(ROOT / page) for page in PAGES]))) == []


def test_a_dead_link_is_found(tmp_path):
    (tmp_path / "a.md").write_text(
        "# A `b`, c\n[1](#a-b-c) [2](#c) [3](b.md) [4](a.md#a-b-c) [5](https://x)\n```\n[6](none.md)\n```\n"
    )
    (tmp_path / "c.html").write_text('<p id="x"><a href="#x"></a><img src="d.png"><a href="a.md#none">')
    assert [line.split(": ")[1] for line in links.dead(links.found([str(tmp_path)]))] == [
        "#c",
        "b.md",
        "d.png",
        "a.md#none",
    ]


def test_the_index_names_every_page_once_by_its_title():
    sections = re.split(r"^## ", (ROOT / "docs/index.md").read_text(), flags=re.MULTILINE)[1:]
    assert [section.splitlines()[0] for section in sections] == [
        "Tutorials",
        "How-to guides",
        "Reference",
        "Explanation",
    ]
    named = [link for section in sections for link in re.findall(r"^- \[([^]]+)\]\((\w+)\.md\)", section, re.MULTILINE)]
    headings = {page.stem: page.read_text().splitlines()[0].removeprefix("# ") for page in (ROOT / "docs").glob("*.md")}
    assert sorted(named) == sorted((title, page) for page, title in headings.items() if page != "index")


def test_the_map_of_the_code_fits_its_box():
    assert [line for block in ARCHITECTURE.split("```")[1:4:2] for line in block.splitlines() if len(line) > 88] == []


def said() -> Iterator[str]:
    """Every text in the code, what stands in braces as a NUL."""
    for path in (ROOT / "stars").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
    for path in [*ROOT.glob("workflow/rules/*.smk"), ROOT / "Makefile"]:
        yield from re.findall(r'"([^"\n]+)"', re.sub(r"\{[^{}]*\}", "\0", path.read_text()))


def messages(page: str) -> list[str]:
    """What stands in back-quotes in the first column of a page's tables of messages."""
    tables = re.findall(r"^\| message \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", (ROOT / "docs" / page).read_text(), re.MULTILINE)
    cells = [line.split(" | ")[0] for table in tables for line in table.splitlines()]
    return [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]


def pieces(message: str) -> list[str]:
    """The words of a message between what varies."""
    return [
        piece.strip(" :;,")
        for piece in re.split(r"…|\bFILE\b|\bN\b|\bNAME\b|\d+", message)
        if len(piece.strip(" :;,()")) > 2
    ]


def parts(message: str) -> list[str]:
    """The same where "FILE, line N: expected …, found …" is put together of three texts."""
    split = [
        part.strip(" :;,()") for piece in pieces(message) for part in re.split(r": |, |\bexpected\b|\bfound\b", piece)
    ]
    return [part for part in split if len(part) > 2]


def test_messages_of_trouble_shooting_stand_in_the_code():
    texts = list(said())
    wanted = messages("trouble.md")
    patterns = {message: re.compile(".*".join(map(re.escape, pieces(message))), re.DOTALL) for message in wanted}
    assert [message for message, pattern in patterns.items() if not any(map(pattern.search, texts))] == []
    assert len(wanted) > 40 and not any(re.search("no such message at all", text) for text in texts)


def test_messages_about_data_stand_in_the_code():
    texts = "\n".join(said())
    assert [(message, piece) for message in messages("data.md") for piece in parts(message) if piece not in texts] == []


def swallowed(command: str) -> list[str]:
    """Words of a `snakemake` command that --configfile or --config would take though they are no file or no
    KEY=VALUE.
    """
    taken, option = [], ""
    for word in shlex.split(command, comments=True):
        if word.startswith("-") or word in ("&&", "||", "|"):
            option = word
        elif (option == "--configfile" and not word.endswith(".yaml")) or (option == "--config" and "=" not in word):
            taken.append(word)
    return taken


def shown_commands() -> list[str]:
    """Commands of Snakemake with a configuration, in the README and the manual: lines of blocks, and what stands in
    back-quotes.
    """
    texts = [path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))]
    words = [line for text in texts for line in re.sub(r"`([^`\n]+)`", r"\n\1\n", text).splitlines()]
    return [line for line in words if re.search(r"^(.*\bsnakemake |… ).*--config", line)]


def test_no_target_is_swallowed_by_an_option():
    commands = shown_commands()
    assert len(commands) > 12 and [(command, found) for command in commands if (found := swallowed(command))] == []
    assert (
        swallowed("snakemake --configfile a.yaml table2")
        == swallowed("snakemake --config 'a=[1]' b=2 table2 -n")
        == ["table2"]
    )
    assert swallowed("snakemake table2 --configfile a.yaml b.yaml --config a=1 -- table2  # it's table2") == []


def test_code_that_the_method_page_names_is_there():
    page = (ROOT / "docs/method.md").read_text()
    files = set(re.findall(r"`(stars/[\w/.]+)`", page))
    assert len(files) > 20 and [file for file in files if not (ROOT / file).exists()] == []
    code_text = "\n".join(path.read_text() for path in (ROOT / "stars").rglob("*.py"))
    where = [line.rpartition(" | ")[2] for line in page.split("## From clip")[1].splitlines() if line.startswith("|")]
    names = {
        name.rpartition(".")[2]
        for cell in where
        for name in re.findall(r"`([A-Za-z_.]+)`", cell)
        if not name.endswith(".py")
    }
    assert len(names) > 40 and [name for name in names if not re.search(rf"(def|class) {name}\b", code_text)] == []
    assert all(f"({number})" in page for number in range(1, 8))


def test_the_map_names_every_package_and_module_at_the_top():
    drawn = ARCHITECTURE.split("```")[3].split("stars/\n")[1]
    names = {path.name for path in (ROOT / "stars").iterdir() if (path / "__init__.py").is_file()}
    names |= {path.stem for path in (ROOT / "stars").glob("*.py") if not path.stem.startswith("__")}
    assert sorted(name for name in names if not re.search(rf"(?m)^  (.*[ ,;])?{name}\b", drawn)) == []


def layers() -> dict[str, int]:
    """Part of the package → its layer, the lowest 0, as docs/architecture.md lists them."""
    table = re.findall(r"^\| (\d+) \| ([^|]+) \|", ARCHITECTURE, re.MULTILINE)
    return {name: int(number) for number, names in table for name in re.findall(r"`([\w.]+)`", names)}


def layer(module: str, of: dict[str, int]) -> int:
    """The layer of the longest part of a module's name that is listed."""
    parts = module.split(".")[1:]
    named = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
    found = [of[name] for name in named if name in of]
    assert found, f"{module} stands in no layer of docs/architecture.md"
    return found[0]


def test_imports_run_one_way():
    of, parts = layers(), [module for module in MODULES if module not in ("stars", "stars.__main__")]
    edges = [(module, name) for module in parts for name in code.imports(module) if name != "stars"]
    assert [(module, name) for module, name in edges if layer(name, of) > layer(module, of)] == []
    assert len(edges) > 500


def test_data_knows_no_model_and_the_model_touches_no_file():
    reached = {
        start: set().union(*(code.imports(module) for module in MODULES if module.startswith(start)))
        for start in ("stars.data", "stars.backbones")
    }
    assert not [name for name in reached["stars.data"] if name.startswith(("stars.backbones", "stars.training"))]
    texts = [path.read_text() for path in (ROOT / "stars/backbones").glob("*.py")]
    assert not [text for text in texts if re.search(r"\bopen\(|pathlib|stars\.provenance", text)]


FAMILIES = {
    "read": ("stars.data.simulate", "stars.ingest", "stars.data.splits", "stars.data.subsets"),
    "stars": ("stars.training", "stars.evaluation.features", "stars.evaluation.knn", "stars.evaluation.linear", "stars.evaluation.finetune",
              "stars.evaluation.semi", "stars.evaluation.few_shot", "stars.evaluation.plugin"),
    "draw": ("stars.paper.tables", "stars.paper.hyperparameters", "stars.paper.figures", "stars.paper.plugin_table", "stars.inspect.page", "stars.report.page"),
}  # fmt: skip
DISTRIBUTIONS = {
    "yaml": "pyyaml",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "torch": "pytorch",
    "matplotlib": "matplotlib-base",
}
BROUGHT = {"triton": "pytorch", "pydantic_core": "pydantic", "markupsafe": "jinja2", "threadpoolctl": "scikit-learn"}


# imported for methods that name one, by whoever resolves the configuration
LAZY = ("stars.backbones", "stars.objectives", "stars.views")


@pytest.mark.parametrize("family", FAMILIES)
def test_an_environment_holds_what_its_rules_import(family):
    """In pip's versions. Of the command line, what `--settings` leads to: `stars.config`,
    `stars.pipeline.configuration` and what they import.
    """
    starts = [module for module in MODULES if module.startswith(FAMILIES[family])] + [
        "stars.config",
        "stars.pipeline.configuration",
    ]
    reached: set[str] = set()
    while starts:
        module = starts.pop()
        if module not in reached and module != "stars" and not (module.startswith(LAZY) and family != "stars"):
            reached.add(module)
            starts.extend(code.imports(module))
    needed = {DISTRIBUTIONS.get(name, BROUGHT.get(name, name)) for module in reached for name in third_party(module)}
    dependencies = yaml.safe_load((ROOT / f"envs/{family}.yaml").read_text())["dependencies"]
    held = dict(name.split("==") for name in dependencies)
    assert needed == held.keys() - {"python", "pip", "setuptools"}
    pins = {"pytorch": TORCH} | {DISTRIBUTIONS.get(name, name).lower(): version for name, version in PINNED.items()}
    assert all(pins[name] == held[name] for name in needed)
    assert (ROOT / f"envs/{family}.post-deploy.sh").read_bytes() == (ROOT / "envs/read.post-deploy.sh").read_bytes()


def third_party(module: str) -> set[str]:
    nodes = ast.walk(ast.parse(code._file(module).read_text()))
    names = {
        name
        for node in nodes
        for name in (
            [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    return {str(name).split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"stars", "None"}


def test_commit_hooks_run_the_pinned_versions():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    asked = [dependency.split("==") for hook in hooks for dependency in hook["additional_dependencies"]]
    assert asked and all(PINNED[name] == version for name, version in asked)


def test_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"] and citation["license"] == PROJECT["license"]
    assert [author["family-names"] for author in citation["preferred-citation"]["authors"]] == [
        "Mehraban",
        "Rajabi",
        "Taati",
    ]


def test_every_dependency_is_pinned_and_has_its_reason():
    reasons = (ROOT / "docs/decisions.md").read_text()
    extras = [name for group in PROJECT["optional-dependencies"].values() for name in group]
    names = [re.split("[<>=]", name)[0] for name in PROJECT["dependencies"] + extras]
    pins = {name.lower().replace("_", "-") for name in PINNED} | {"torch"}
    assert [name for name in names if name.lower() not in pins or name not in reasons] == []
