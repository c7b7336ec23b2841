"""Configuration: typed, merged in the stated order, and every mistake named in one line with the nearest right key."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from stars.errors import InputError
from stars.pipeline import configuration, layout, reference
from stars.pipeline.resolve import Method

ROOT = Path(__file__).parents[1]
DEMO = {"data": {"demo": {"dataset": "demo", "simulate": {}}}}


def load(**blocks):
    return configuration.load(configuration.merge(DEMO, blocks))


@pytest.mark.parametrize("name", ["config", "paper", "utd_mhad"])
def test_shipped_configurations_are_right(name):
    config = configuration.load_file(ROOT / f"config/{name}.yaml")
    for data in config.data:
        for method in config.methods:
            assert configuration.method(config, data, method).kind in ("scratch", "pretrain", "tune", "joints")


TUNED = {
    "mamp": {"pretrain": {}},
    "stars": {"from": "mamp", "tune": {}},
    "heads": {"from": "stars", "tune": {"tuned_blocks": 0}},
    "stars_3stage": {"from": "stars", "heads": "heads"},
    "dino_aug": {"from": "mamp", "tune": {"strategy": "dino", "augment": {"flip": 0.5}}},
}


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ({"tune": {"optimizer": {"lr": 0.1}}}, "unknown key tune.optimizer: did you mean optimiser?"),
        ({"pretrain": {"motion": {"ration": 0.5}}}, "unknown key pretrain.motion.ration: did you mean ratio?"),
        ({"methodes": {}}, "unknown key methodes: did you mean methods?"),
        ({"tune": {"temperature": 0.1}}, "unknown key tune.temperature: did you mean tune.nnclr.temperature?"),
        ({"temperature": 0.1}, "unknown key temperature: did you mean"),
        ({"few_shot": {"epochs": 1}}, "unknown key few_shot.epochs: expected one of shots"),
        (
            {"methods": TUNED | {"stars": {"from": "mamp", "tune": {"lr": 0.1}}}},
            "methods.stars: unknown key tune.lr: did you mean tune.optimiser.lr?",
        ),
        ({"model": {"frames": 10}}, "model: frames (10) must be a multiple of segment (4)"),
        ({"seeds": 3}, "seeds: expected a list, e.g. [1, 5], found 3"),
        ({"seeds": []}, "seeds: expected at least 1 value, found []"),
        ({"knn": {"k": [0]}}, "knn.k.0: expected a number of at least 1, found 0"),
        ({"tune": {"optimiser": {"lr": "fast"}}}, "tune.optimiser.lr: expected a number, found 'fast'"),
        ({"tune": {"optimiser": {"batch": 1.5}}}, "tune.optimiser.batch: expected an integer, found 1.5"),
        ({"embed": 3}, "embed: expected a block of `key: value`, found 3"),
        ({"knn": {"k": "x" * 10**6}}, "knn.k: expected a list, e.g. [1, 5], found 'xxx"),
        (
            {"methods": TUNED | {"stars": {"from": "mamp", "tune": {"nnclr": {"que": 64}}}}},
            "methods.stars: unknown key tune.nnclr.que",
        ),
        ({"fig6": {"k": 3}}, "fig6.k is 3, but knn.k is [1, 10]: add it there"),
        (
            {"methods": {"a": {"from": "b"}, "b": {"from": "a"}}},
            "methods.a.from: circular chain at a (a → b → a): remove `from` from",
        ),
        (
            {"methods": {"mamp": {"pretrain": {}}, "x": {"from": "mam", "tune": {}}}},
            "methods.x.from: no method mam: did you mean mamp?",
        ),
        ({"methods": {"x": {"tune": {}}}}, "methods.x has `tune` but no pre-trained parent"),
        ({"data": {"demo": {"splits": ["xsup"]}}}, "data.demo.splits: no split xsup: did you mean xsub?"),
        (
            {"data": {"demo": {"dataset": "ntu61"}}},
            "data.demo.dataset: no ntu61 in config/datasets: did you mean ntu60?",
        ),
        ({"data": {"demo": {"raw": "x"}}}, "set either raw (a folder or zip with the raw files) or simulate"),
        ({"targets": ["quickstrat"]}, "configuration: targets: no target quickstrat: did you mean quickstart?"),
        ({"data": {"demo": {"settings": {"tuen": {}}}}}, "unknown key data.demo.settings.tuen: did you mean tune?"),
    ],
)
def test_a_mistake_is_one_line_with_its_key(blocks, expected):
    with pytest.raises(InputError) as error:
        load(**blocks)
    assert expected in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a: &a [x, x, x, x]\n"
            + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 20)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)),
            "expand to",
        ),
        ("seeds: &a [*a]", "an alias refers to a block that contains it"),
        ("seeds: " + "[" * 5000, "nested too deeply"),
        ("seeds: 2001-99-99", "month must be in 1..12"),
        ("seeds: " + "x" * 10**6, "expected a list"),
        ("? " + "x" * 10**6 + "\n: 1", "unknown key xxx"),
    ],
)
def test_yaml_that_is_a_trap_is_refused_in_one_short_line(tmp_path, text, expected):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError) as error:
        configuration.load_file(tmp_path / "a.yaml")
    assert expected in str(error.value) and len(str(error.value)) < 2000 and "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"--set seeds=\[\*a"):
        configuration.overriding(["seeds=[*a, *a]"])


def test_a_byte_order_mark_is_skipped(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfseeds: [3]\ndata: {demo: {dataset: demo, simulate: {}}}\n")
    assert configuration.load_file(tmp_path / "a.yaml").seeds == (3,)


def test_an_override_is_blamed_for_its_own_faults_alone(tmp_path):
    file = tmp_path / "a.yaml"
    for text, expected in (
        ("", "--set tune.optimizer.lr=1 --set seeds=[1]"),
        ("tune: {optimizer: {lr: 1}}", str(file)),
    ):
        file.write_text(f"data: {{demo: {{dataset: demo, simulate: {{}}}}}}\n{text}")
        with pytest.raises(InputError) as error:
            configuration.load_file(file, ["tune.optimizer.lr=1", "seeds=[1]"])
        assert str(error.value) == f"{expected}: unknown key tune.optimizer: did you mean optimiser?"
    file.write_text("seeds: [0]")  # what the file lacks, the overrides give
    with pytest.raises(InputError, match=r"unknown key tune\.optimizer"):
        configuration.load_file(file, ["data.demo.dataset=demo", "data.demo.simulate={}", "tune.optimizer.lr=1"])


def test_yaml_numbers_and_faults(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("a: 1e-3\nb: 5E4\nc: 1_0\nd: e3\n")
    assert configuration.read_yaml(file) == {"a": 1e-3, "b": 5e4, "c": 10, "d": "e3"}
    for text, line in (
        ("a: 1\na: 2\n", "line 1"),
        ("a: [1\nb: 2\n", "line 2"),
        ("- 1\n", "key: value"),
        ("!!python/object/apply:os.system [ls]", "line 1"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=line):
            configuration.read_yaml(file)


def test_one_key_of_a_block_keeps_the_block_s_other_defaults():
    config = load(tune={"optimiser": {"lr": 0.5}})
    assert (config.tune.optimiser.lr, config.tune.optimiser.epochs, config.tune.optimiser.weight_decay) == (
        0.5,
        20,
        0.01,
    )
    assert load(tune={"sampling": {"min_frames": 8}}).tune.sampling.rotation == 0.0


def test_precedence_default_preset_file_data_recipe():
    release = load(preset="release")
    assert (release.pretrain.motion.target, release.pretrain.motion.stride, release.embed.test_crop) == (
        "release",
        1,
        0.95,
    )
    assert load(preset="release", embed={"test_crop": 0.8}).embed.test_crop == 0.8
    config = load(
        preset="release",
        pretrain={"motion": {"ratio": 0.8}},
        data={"demo": {"settings": {"pretrain": {"motion": {"ratio": 0.7, "temperature": 0.5}}}}},
        methods={"mamp": {"pretrain": {}}, "low": {"from": "mamp", "pretrain": {"motion": {"ratio": 0.6}}}},
    )
    motion = {name: configuration.method(config, "demo", name).blocks["pretrain"]["motion"] for name in config.methods}
    assert [motion[name]["ratio"] for name in ("mamp", "low")] == [0.7, 0.6]
    assert motion["low"]["temperature"] == 0.5 and motion["low"]["target"] == "release"


def test_release_uses_three_decoder_blocks_on_ntu60_alone():
    both = {"ntu60": {"dataset": "ntu60", "raw": "a"}, "ntu120": {"dataset": "ntu120", "raw": "b"}}
    config = configuration.load({"preset": "release", "data": both})
    assert [configuration.method(config, data, "mamp").blocks["model"]["decoder_depth"] for data in both] == [3, 5]
    assert "ntu60" not in configuration.load({"preset": "release", **DEMO}).data


def test_the_small_preset_and_its_methods_are_all_that_a_small_data_set_needs():
    config = configuration.load(
        {"preset": "small", "recipes": "small", "data": {"utd_mhad": {"dataset": "utd_mhad", "raw": "a"}}}
    )
    assert list(config.methods) == [
        "raw_joints",
        "scratch",
        "mamp",
        "stars",
        "stars_heads",
        "stars_3stage",
        "stars_all_blocks",
        "stars_two_views",
    ]
    two = configuration.method(config, "utd_mhad", "stars_two_views").blocks["tune"]
    assert (two["tuned_blocks"], two["nnclr"]["views"], two["nnclr"]["queue"], two["sampling"]["rotation"]) == (
        4,
        2,
        512,
        0.3,
    )
    assert (config.model.width, config.pretrain.motion.ratio, config.pretrain.optimiser.epochs) == (128, 0.75, 250)
    assert (config.pretrain.precision, config.tune.precision) == ("auto", "auto")
    assert (
        config.pretrain.motion.target == configuration.load(DEMO).pretrain.motion.target
    )  # what the preset does not name stays the paper's


def test_a_data_set_is_like_another():
    utd = {"dataset": "utd_mhad", "raw": "a", "splits": ["xsub", "base"], "protocols": ["knn"]}
    config = configuration.load(
        {
            "data": {
                "utd": utd,
                "twin": {"like": "utd", "ingest": {"joints": "common"}},
                "own": {"like": "utd", "raw": "b"},
            }
        }
    )
    assert (config.data["twin"].dataset, config.data["twin"].raw, config.data["own"].raw) == ("utd_mhad", "a", "b")
    assert config.data["twin"].splits == ("xsub",) and config.data["twin"].ingest.joints == "common"  # the files alone
    acted = configuration.load({"data": {"utd": utd, "own": {"like": "utd", "simulate": {}}}}).data["own"]
    assert acted.raw is None and acted.simulate is not None
    for name in ("utb", "twin", 3, ["a"], {}):
        with pytest.raises(
            InputError, match=rf"x\.yaml: data\.twin\.like: no data set {re.escape(str(name))} with its own files"
        ) as told:
            configuration.load({"data": {"utd": utd, "twin": {"like": name}}}, "x.yaml")
        assert "\n" not in str(told.value)


def test_recipes_inherit_and_start_from_the_right_encoder():
    config = load(
        seeds=[4, 5],
        methods={
            "mamp": {"pretrain": {}},
            "stars": {"from": "mamp", "tune": {}},
            "decay_0.4": {"from": "stars", "tune": {"layer_decay": 0.4}},
            "decay_0.4_wide": {"from": "decay_0.4", "tune": {"nnclr": {"queue": 64}}},
        },
    )
    last = configuration.method(config, "demo", "decay_0.4_wide")
    assert (last.kind, last.parent, last.blocks["tune"]["layer_decay"], last.blocks["tune"]["nnclr"]["queue"]) == (
        "tune",
        "mamp",
        0.4,
        64,
    )
    assert [configuration.tag(config, "stars", seed) for seed in config.seeds] == ["stars", "stars-seed5"]
    assert configuration.untag(config, "decay_0.4-seed5") == ("decay_0.4", 5)
    with pytest.raises(InputError, match="a tuned method cannot change its encoder"):
        load(methods={"mamp": {"pretrain": {}}, "x": {"from": "mamp", "tune": {}, "pretrain": {}}})


def test_a_tuning_is_told_of_its_own_strategy_alone():
    config = load(methods=TUNED)
    plain, dino = (configuration.stage_settings(config, "tune", "demo", name) for name in ("stars_3stage", "dino_aug"))
    blocks = {"nnclr", "dino", "moco", "options"}
    assert (blocks & set(plain["tune"]), blocks & set(dino["tune"])) == ({"nnclr"}, {"dino"})
    assert "mirror" not in plain and [4, 8] in dino["mirror"]
    third = configuration.method(config, "demo", "stars_3stage")
    assert (third.kind, third.parent, third.heads) == ("tune", "mamp", "heads") and plain["tune"][
        "tuned_blocks"
    ] is None
    assert [configuration.method(config, "demo", name).outputs[-1] for name in ("stars", "dino_aug")] == [
        "predictor",
        "encoder",
    ]


def test_bones_are_told_the_tree_of_joints():
    config = load(
        methods=TUNED
        | {
            "bones": {"model": {"stream": "bone"}, "pretrain": {}},
            "tuned_bones": {"from": "bones", "tune": {}},
        }
    )
    told = {name: configuration.stage_settings(config, "pretrain", "demo", name) for name in ("mamp", "bones")}
    assert "parents" not in told["mamp"] and told["bones"]["parents"] == list(
        configuration.dataset(config, "demo").parents
    )
    assert set(configuration.stage_settings(config, "tune", "demo", "tuned_bones")) == {"seed", "tune"}


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (
            {"tune": {"strategy": "dyno"}},
            (
                "tune.strategy: no file plugins/objectives/dyno.py: did you mean dino?; or write it as"
                " docs/extending.md shows"
            ),
        ),
        (
            {"tune": {"strategy": "moco", "options": {"queue": 3}}},
            "options is not for moco: set its settings under tune.moco",
        ),
        ({"tune": {"dino": {"protypes": 3}}}, "unknown key tune.dino.protypes: did you mean prototypes?"),
        ({"tune": {"dino": {"local_crop": [0.8, 0.4]}}}, "local_crop must be [min, max], found [0.8, 0.4]"),
        ({"tune": {}, "heads": "head"}, "no method head: did you mean heads?"),
        ({"tune": {}, "heads": "mamp"}, "mamp must be a tuned method with strategy nnclr"),
        (
            {"tune": {}, "heads": "stars_3stage"},
            "must be a tuned method with strategy nnclr that starts from new heads",
        ),
        ({"tune": {"strategy": "moco"}, "heads": "heads"}, "heads must be a tuned method with strategy moco"),
    ],
)
def test_a_strategy_that_cannot_be_is_refused(method, expected):
    with pytest.raises(InputError) as error:
        load(methods=TUNED | {"x": {"from": "mamp", **method}})
    assert expected in str(error.value) and "\n" not in str(error.value)


def test_a_flip_needs_mirror_pairs(tmp_path):
    described = yaml.safe_load((ROOT / "config/datasets/demo.yaml").read_text())
    (tmp_path / "plain.yaml").write_text(
        yaml.safe_dump({name: value for name, value in described.items() if name != "mirror"})
    )
    with pytest.raises(InputError, match=r"methods\.dino_aug: tune\.augment\.flip needs `mirror`"):
        load(methods=TUNED, data={"demo": {"dataset": str(tmp_path / "plain.yaml"), "simulate": {}}})


def test_a_stage_is_told_only_what_it_reads():
    config = load()
    assert set(configuration.stage_settings(config, "pretrain", "demo", "mamp")) == {"seed", "model", "pretrain"}
    assert set(configuration.stage_settings(config, "tune", "demo", "stars")) == {"seed", "tune"}
    assert "splits" not in configuration.stage_settings(config, "ingest", "demo")["dataset"]
    assert json.loads(configuration.as_argument(configuration.stage_settings(config, "knn", "demo", "mamp")))[
        "outputs"
    ] == ["encoder"]


def two(**blocks) -> dict:
    """A configuration with other data sets, as sources or targets."""
    others = {"ntu120": {"dataset": "ntu120", "raw": "a"}, "base": {"dataset": "demo_base", "simulate": {}}}
    return DEMO | {"data": DEMO["data"] | others} | blocks


def test_fine_tuning_decays_by_layer_unless_the_encoder_is_untrained_or_a_number_is_given():
    config = load(semi={"finetune": {"hidden": 64}}, transfer={"finetune": {"layer_decay": 0.5}})
    told = {
        (stage, name): configuration.stage_settings(config, stage, "demo", name)["finetune"]
        for stage in ("finetune", "semi", "transfer")
        for name in ("scratch", "mamp", "stars")
    }
    assert [told["finetune", name]["layer_decay"] for name in ("scratch", "mamp", "stars")] == [1, 0.8, 0.8]
    assert [told["transfer", name]["layer_decay"] for name in ("scratch", "mamp")] == [0.5, 0.5]
    assert (
        told["semi", "mamp"]["hidden"],
        told["semi", "mamp"]["score_epochs"],
        told["finetune", "mamp"]["hidden"],
    ) == (64, 10, 2048)


def test_presets_change_the_methods_of_recipes_and_the_file_changes_both():
    given = {"data": {"demo": {"dataset": "demo", "simulate": {}}}, "recipes": "paper"}

    def dino(preset: str, **methods) -> Method:
        return configuration.method(configuration.load({**given, "preset": preset, "methods": methods}), "demo", "dino")

    assert [dino(preset).heads for preset in ("paper", "release", "legacy")] == ["dino_heads", "dino_heads", None]
    assert [dino(preset).blocks["tune"]["optimiser"]["epochs"] for preset in ("paper", "release")] == [20, 20]
    assert dino("release", dino={"tune": {"optimiser": {"epochs": 3}}}).blocks["tune"]["optimiser"]["epochs"] == 3
    with pytest.raises(InputError, match="data"):
        configuration.load({"preset": "release", "data": 3})


def test_release_probes_pku_ii_with_its_own_batch_and_rate():
    config = configuration.load(
        {
            "preset": "release",
            "data": {"pku2": {"dataset": "pku2", "raw": "a"}, "ntu60": {"dataset": "ntu60", "raw": "b"}},
        }
    )
    probes = [configuration.stage_settings(config, "linear", data, "mamp")["linear"] for data in ("pku2", "ntu60")]
    assert [(probe["batch"], probe["lr"]) for probe in probes] == [(32, 0.01), (256, 0.1)]


def test_a_pair_takes_the_first_splits_unless_told():
    config = configuration.load(
        two(few_shot={"pairs": [{"source": "demo", "target": "ntu120", "target_split": "xset"}]})
    )
    assert configuration.pairs(config, "few_shot") == [("demo", "xsub", "ntu120", "xset")]
    assert layout.results(config, "few_shot")[1] == "results/demo_xsub/stars/few_shot/ntu120_xset/metrics.json"
    assert not layout.results(config, "transfer")


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        (
            {"transfer": {"pairs": [{"source": "demo", "target": "ntu60"}]}},
            "transfer.pairs: no data set ntu60: did you mean ntu120?",
        ),
        (
            {"few_shot": {"pairs": [{"source": "demo", "source_split": "xsup", "target": "ntu120"}]}},
            "no split xsup of demo: did you mean xsub?",
        ),
        (
            {"few_shot": {"pairs": [{"source": "demo", "target": "base"}]}},
            "few_shot.pairs: demo_base.yaml lists no novel actions",
        ),
        ({"semi": {"finetune": {"hiden": 3}}}, "unknown key semi.finetune.hiden: did you mean hidden?"),
        ({"methods": {"mamp": {"pretrain": {}, "protocols": ["nkk"]}}}, "methods.mamp.protocols.0"),
    ],
)
def test_pairs_and_protocols_that_do_not_fit_are_refused(blocks, expected):
    with pytest.raises(InputError) as error:
        configuration.load(two(**blocks))
    assert expected in str(error.value) and "\n" not in str(error.value)


def test_a_pair_of_other_joints_is_refused():
    other = {"dataset": "utd_mhad", "raw": "a"}
    with pytest.raises(
        InputError,
        match=(
            r"transfer\.pairs: demo and utd do not have the same joints in the same order: set ingest\.joints of both"
            r" to common"
        ),
    ):
        configuration.load(
            DEMO
            | {
                "data": {**DEMO["data"], "utd": other},
                "transfer": {"pairs": [{"source": "demo", "target": "utd"}]},
            }
        )


def test_generated_pages_are_up_to_date():
    assert (ROOT / "docs/configuration.md").read_text() == reference.page(), "run: make docs"
    assert (ROOT / "config/schema.json").read_text() == reference.schema(), "run: make docs"


def test_the_schema_is_what_a_data_set_must_have():
    """Every configuration that comes with the repository passes; a data set that is neither described nor like
    another does not.
    """
    schema = json.loads(reference.schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    given = {path.name: configuration.read_yaml(path) for path in sorted((ROOT / "config").glob("*.yaml"))}
    blocks = [block for one in given.values() for block in one.get("data", {}).values()]
    assert any("like" in block and "dataset" not in block for block in blocks) and any(
        "dataset" in block for block in blocks
    )
    told = jsonschema.Draft202012Validator(
        {**schema, "$ref": "#/$defs/Data", "properties": {}, "additionalProperties": True}
    )
    for block in blocks:
        assert not list(told.iter_errors(block)), block
    for wrong in ({"raw": "a"}, {"like": None, "raw": "a"}, {"like": "utd", "splitz": []}):
        assert list(told.iter_errors(wrong)), wrong
    assert "| `data.NAME.dataset` | str | `(required unless like)` |" in reference.page()


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ({"pretrain": {"optimiser": {"lr": 1e-4}}}, "min_lr (0.0005) must not exceed lr (0.0001)"),
        ({"pretrain": {"optimiser": {"epochs": 10}}}, "warmup_epochs (20) must not exceed epochs (10)"),
        ({"linear": {"sampling": {"crop": [1.0, 0.2]}}}, "crop must be [min, max], found [1.0, 0.2]"),
        ({"seeds": [0, 0]}, "contains a duplicate"),
        ({"data": {}}, "data is empty"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(blocks, expected):
    with pytest.raises(InputError) as error:
        configuration.load(DEMO | blocks)
    assert expected in str(error.value) and "\n" not in str(error.value)
