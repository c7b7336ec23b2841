"""Commands for the user's labelled clips: evaluate and fit."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from stars.cli.inference import add_model, load, warned
from stars.errors import InputError
from stars.program import program

FOLDER = "labelled clips: a folder or zip with a sub-folder per action, or with a clips.csv (file, label, subject)"
EPOCHS = 20


def add(commands: Any) -> None:
    """evaluate and fit."""
    text = "cross-validate classifiers on your labelled clips"
    evaluate = commands.add_parser(
        "evaluate",
        help=text,
        description=f"{text[0].upper()}{text[1:]}: print the accuracy of each; write tables and figures.",
    )
    evaluate.add_argument(
        "--out", type=Path, default=Path("evaluation"), metavar="PATH", help="folder to write to [evaluation]"
    )
    evaluate.add_argument(
        "--finetune",
        nargs="?",
        type=int,
        const=EPOCHS,
        metavar="EPOCHS",
        help=f"also fine-tune the encoder in each fold (takes minutes); optional value: number of epochs [{EPOCHS}]",
    )
    evaluate.set_defaults(handler=_evaluate)
    text = "train the best classifier on your labelled clips and save it"
    fit = commands.add_parser(
        "fit",
        help=text,
        description=(
            "Evaluate like `stars evaluate`, then train the best classifier and save it to a folder for `stars predict"
            " --classifier`."
        ),
    )
    fit.add_argument(
        "--out", type=Path, default=Path("classifier"), metavar="PATH", help="folder to write to [classifier]"
    )
    fit.set_defaults(handler=_fit)
    for parser in (evaluate, fit):
        parser.add_argument("folder", type=Path, metavar="FOLDER", help=FOLDER)
        parser.add_argument(
            "--group-by",
            metavar="COLUMN|REGEX",
            help=(
                "subject of a clip: a column of clips.csv, or a regular expression whose first group matches it in the"
                " clip's path [subject]"
            ),
        )
        add_model(parser, required=True, form=False)
        parser.add_argument(
            "--device", default="auto", choices=["auto", "cpu", "cuda"], help="device to compute on [auto]"
        )
        parser.add_argument("--threads", type=int, metavar="N", help="CPU threads [all cores]")


@warned()
def _evaluate(chosen: argparse.Namespace) -> None:
    from stars.inference.verdict import lines, write

    if chosen.finetune is not None and chosen.finetune < 1:
        raise InputError(f"--finetune {chosen.finetune}: give at least one epoch")
    model, found = _evaluated(chosen, chosen.finetune)
    write(found, chosen.out, model.path, _settings(chosen, model))
    print(
        "\n".join(
            [
                *lines(found),
                f"{chosen.out}/: confusion.png, reliability.png, learning_curve.png, predictions.csv, actions.csv",
            ]
        )
    )


@warned()
def _fit(chosen: argparse.Namespace) -> None:
    from stars.inference.classifier import fit
    from stars.inference.verdict import lines

    model, found = _evaluated(chosen)
    fit(model, found, chosen.out, _settings(chosen, model))
    print("\n".join([*lines(found), f"{chosen.out}/: {program('stars')} predict CLIPS --classifier {chosen.out}"]))


def _evaluated(chosen: argparse.Namespace, epochs: int | None = None) -> tuple[Any, Any]:
    """The encoder, and the evaluation of the classifiers."""
    from stars.inference import finetuning, labelled
    from stars.inference.evaluate import evaluate

    model = load(chosen, [chosen.folder])
    clips = labelled.read(model, chosen.folder, chosen.group_by)
    more = [(finetuning.NAME, finetuning.TITLE, finetuning.scorer(model, clips, epochs))] if epochs else []
    return model, evaluate(clips, more=more)


def _settings(chosen: argparse.Namespace, model: Any) -> dict[str, Any]:
    told = {"folder": str(chosen.folder), "group_by": chosen.group_by, "finetune": getattr(chosen, "finetune", None)}
    return {**model.preparation.model_dump(mode="json"), **told}
