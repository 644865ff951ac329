"""The commands, run in this process on synthetic smears, and their exit codes and sentences."""

from __future__ import annotations

import errno
import inspect
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from cyclopts import App

from reddino import cli
from reddino.api.arguments import Advance
from reddino.cli import training
from reddino.embedding.border import whole_cells
from reddino.embedding.table import read_embeddings
from reddino.pretraining.run.folder import only_trainer
from reddino.smears.choices import Layout
from reddino.smears.manifest import read_manifest
from reddino.smears.readers import READERS
from reddino.synthetic.write import write_smears

SMALL_RUN = [
    *("run.samples=32", "run.batch=8", "model.depth=1", "head.hidden=16", "head.prototypes=16"),
    *(
        "crops.global_size=56",
        "crops.local_size=28",
        "crops.local_count=1",
        "runtime.workers=0",
        "runtime.threads=1",
        "runtime.log_every=2",
    ),
    *("runtime.tensorboard=false", "runtime.device=cpu"),
]


@pytest.fixture(scope="module")
def smear_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smears of two sources with four patients each."""
    folder = tmp_path_factory.mktemp("cli") / "smears"
    write_smears(folder, sources=("lilac", "phone"), patients_per_source=4, fields_per_patient=1, field_um=60)
    return folder


@pytest.fixture(scope="module")
def run(smear_folder: Path) -> Path:
    """A run of four steps."""
    folder = smear_folder.parent / "run"
    assert cli.main(pretrain_command(smear_folder / "manifest.csv", folder)) == 0
    return folder


@pytest.fixture(scope="module")
def tables(run: Path, smear_folder: Path) -> list[str]:
    """Tables of the cells by the trained network, the untrained one, and their size."""
    made = []
    for name, model in (
        ("trained", f"{run}/model"),
        ("untrained", f"untrained:{run}/model"),
        ("size", "cell-size"),
    ):
        out = str(smear_folder.parent / f"table-{name}")
        options = ["--name", name, *(["--image-size", "56"] if name == "size" else ["--device", "cpu"])]
        assert (
            cli.main(["embed", f"{smear_folder}/manifest.csv", "--model", model, "--out", out, *options]) == 0
        )
        made.append(out)
    return made


def pretrain_command(manifest: Path, out: Path, *options: str) -> list[str]:
    return [
        "pretrain",
        "vit-tiny-scratch",
        "--data",
        str(manifest),
        "--out",
        str(out),
        "--set",
        *SMALL_RUN,
        *options,
    ]


#: What stands on stderr where a stage takes longer than two seconds.
STAGE = re.compile(r"\d\d:\d\d:\d\d INFO ")


def one_sentence(text: str) -> str:
    """The complaint on stderr, which must be a single line besides the stages of a slow machine."""
    lines = [line for line in text.splitlines() if line and not STAGE.match(line)]
    assert len(lines) == 1, text
    assert "Traceback" not in text
    return lines[0]


def test_cli__layouts_are_those_of_the_readers() -> None:
    assert set(get_args(Layout)) == set(READERS)


def test_cli__module_runs_and_says_its_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "reddino", "--version"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout.strip()) == (0, cli.app.version)


def test_cli__bad_input_in_a_process_ends_with_one_sentence_and_code_1(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "reddino", "check", str(tmp_path / "none.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "none.csv" in one_sentence(done.stderr)
    assert done.stdout == ""


@pytest.mark.parametrize(
    "tokens",
    [["nonsense"], ["embed"], ["pretrain", "demo"], ["manifest", "no-such-layout", "."], ["check"]],
)
def test_cli__wrong_usage_ends_with_code_2(tokens: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(tokens)
    assert ended.value.code == 2


def commands(app: App) -> Iterator[tuple[str, ...]]:
    """The words of every command, those of its groups (`data pack`) included."""
    for name in app:
        if name.startswith("-"):
            continue
        if app[name].default_command:
            yield (name,)
        else:
            yield from ((name, *words) for words in commands(app[name]))


@pytest.mark.parametrize("words", list(commands(cli.app)), ids=" ".join)
def test_cli__each_command_explains_every_option(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main([*words, "--help"])
    shown = capsys.readouterr().out
    assert shown.startswith("Usage: reddino")
    command = reduce(lambda app, word: app[word], words, cli.app)
    explained = inspect.getdoc(command.default_command) or ""
    for argument in command.assemble_argument_collection():
        assert argument.name in shown
        assert f"    {argument.field_info.name}: " in explained, f"{words} does not explain {argument.name}"


def test_cli__ctrl_c_ends_with_code_130_and_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reddino.check", interrupt)
    assert cli.main(["check", str(tmp_path / "any.csv")]) == 130
    assert one_sentence(capsys.readouterr().err) == "reddino: stopped."


def test_cli__a_folder_that_cannot_be_written_is_named(
    smear_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert cli.main(["manifest", "folder", str(smear_folder), "--out", str(tmp_path / "file" / "m.csv")]) == 1
    assert str(tmp_path / "file") in one_sentence(capsys.readouterr().err)


def test_manifest__reads_a_plain_folder(
    smear_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "lilac.csv"
    pattern = r"lilac-\d-(?P<patient>p\d+)"
    options = ["--out", str(out), "--source", "lab", "--patient", pattern]
    assert cli.main(["manifest", "folder", f"{smear_folder}/lilac", *options]) == 0
    made = read_manifest(out, check_files=True)
    assert set(made.strings("source")) == {"lab"}
    assert sorted(made.strings("patient")) == ["p00", "p01", "p02", "p03"]
    assert "4 images" in capsys.readouterr().out


def test_manifest__says_which_options_a_layout_takes(
    smear_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["manifest", "nih-malaria", str(smear_folder), "--slide", "x", "--out", str(tmp_path / "m.csv")]
    assert cli.main(command) == 1
    assert "takes no option 'slide'; it takes: source" in one_sentence(capsys.readouterr().err)


def test_manifest__lists_annotations_that_make_no_sense(
    smear_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = next((smear_folder / "lilac").glob("*.jpg"))
    (tmp_path / "a.jpg").write_bytes(picture.read_bytes())
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n0 0.5 nonsense 0.1 0.1\n")
    (tmp_path / "classes.txt").write_text("RBC\n")
    assert cli.main(["manifest", "yolo", str(tmp_path), "--out", str(tmp_path / "boxes.csv")]) == 0
    assert len(read_manifest(tmp_path / "boxes.csv")) == 1
    assert "line 2" in (tmp_path / "boxes.failures.csv").read_text()
    assert "boxes.failures.csv" in one_sentence(capsys.readouterr().err)


def test_check__counts_by_source_and_label(smear_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", str(smear_folder / "manifest.csv")]) == 0
    shown = capsys.readouterr().out
    cells = read_manifest(smear_folder / "manifest.csv")
    normal = str(cells.strings("label").count("normal"))
    row = next(line for line in shown.splitlines() if "normal" in line)
    assert normal in row.replace("│", " ").split()
    row = next(line for line in shown.splitlines() if "lilac" in line and "44.0" in line)
    assert str(cells.strings("source").count("drawn-lilac")) in row.replace("│", " ").split()


def test_check__names_the_missing_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.csv").write_text("path,source\nnowhere.png,lab\n")
    assert cli.main(["check", str(tmp_path / "m.csv")]) == 1
    sentence = one_sentence(capsys.readouterr().err)
    assert "nowhere.png" in sentence
    assert "line 2" in sentence


def test_synthesise__draws_and_refuses_to_draw_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "synthesise",
        str(tmp_path / "s"),
        "--sources",
        "lilac",
        "night",
        "--patients",
        "1",
        "--fields",
        "1",
    ]
    assert cli.main(command) == 0
    assert set(read_manifest(tmp_path / "s" / "manifest.csv").strings("source")) == {
        "drawn-lilac",
        "drawn-night",
    }
    capsys.readouterr()
    assert cli.main(command) == 1
    assert "already holds" in one_sentence(capsys.readouterr().err)


def test_synthesise__photographs_the_same_cells_everywhere(tmp_path: Path) -> None:
    options = ["--sources", "lilac", "night", "--patients", "1", "--fields", "1", "--every-source"]
    assert cli.main(["synthesise", str(tmp_path / "s"), *options]) == 0
    made = read_manifest(tmp_path / "s" / "manifest.csv")
    cells: dict[str, list[str]] = {source: [] for source in ("drawn-lilac", "drawn-night")}
    for source, cell in zip(made.strings("source"), made.strings("cell"), strict=True):
        cells[source].append(cell)
    assert cells["drawn-lilac"] == cells["drawn-night"] != []


def test_cells__finds_about_as_many_as_were_drawn_and_lists_failures(
    smear_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for picture in (smear_folder / "lilac").glob("*.jpg"):
        (tmp_path / picture.name).write_bytes(picture.read_bytes())
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    (tmp_path / "folder.png").mkdir()
    assert cli.main(["cells", str(tmp_path), "--out", str(tmp_path / "cells.csv")]) == 0
    drawn = read_manifest(smear_folder / "manifest.csv").strings("source").count("drawn-lilac")
    found = read_manifest(tmp_path / "cells.csv")
    # The truth leaves out cells that the edge of a field cuts by more than a quarter; the finder does not.
    assert drawn < len(found) < 1.6 * drawn
    listed = (tmp_path / "cells.failures.csv").read_text()
    assert "broken.jpg" in listed
    assert "folder.png" in listed
    complaint = one_sentence(capsys.readouterr().err)
    assert "2 entries were left out" in complaint
    assert "cells.failures.csv" in complaint


def test_cells__nothing_found_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    assert cli.main(["cells", str(tmp_path), "--out", str(tmp_path / "cells.csv")]) == 1
    assert "no red cells were found" in one_sentence(capsys.readouterr().err)
    assert not (tmp_path / "cells.csv").exists()


def test_pretrain__leaves_a_model_folder_and_its_failures(smear_folder: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    picture = next((smear_folder / "lilac").glob("*.jpg"))
    (images / "whole.jpg").write_bytes(picture.read_bytes())
    (images / "cut.jpg").write_bytes(picture.read_bytes()[:2000])
    options = ["data.patch_unit=px", "data.patch_side=64", "data.max_cell_diameter=null"]
    (images / "shard.tar").write_bytes(b"not a shard")
    assert cli.main(pretrain_command(images, tmp_path / "run", *options)) == 0
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()
    listed = (tmp_path / "run" / "failures.csv").read_text()
    assert "cut.jpg" in listed and "shard.tar" in listed


def test_pretrain__leaves_a_folder_alone_in_which_another_process_trains(
    smear_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with only_trainer(tmp_path / "run"):
        assert cli.main(pretrain_command(smear_folder / "manifest.csv", tmp_path / "run")) == 1
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.lock"]
    complaint = one_sentence(capfd.readouterr().err)
    assert f"another process trains in {tmp_path / 'run'}" in complaint
    assert "give another folder" in complaint


def test_pretrain__measures_cell_diameters_once_and_keeps_them(smear_folder: Path, tmp_path: Path) -> None:
    command = pretrain_command(smear_folder / "phone", tmp_path / "run")
    assert cli.main(command) == 0
    kept = json.loads((tmp_path / "run" / "cell_diameters.json").read_text())
    assert kept["phone"] == pytest.approx(26, rel=0.2)


def test_pretrain__joins_manifests(smear_folder: Path, tmp_path: Path) -> None:
    for source in ("lilac", "phone"):
        cli.main(["manifest", "folder", f"{smear_folder}/{source}", "--out", str(tmp_path / f"{source}.csv")])
    command = pretrain_command(tmp_path / "lilac.csv", tmp_path / "run")
    command.insert(command.index("--out"), str(tmp_path / "phone.csv"))
    assert cli.main(command) == 0
    card = json.loads((tmp_path / "run" / "model" / "reddino.json").read_text())
    assert (card["training"]["images"], card["training"]["sources"]) == (8, ["lilac", "phone"])


def test_pretrain__stops_when_asked_and_the_same_command_goes_on(
    smear_folder: Path,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    @contextmanager
    def interrupting(what: str) -> Iterator[Advance]:
        yield lambda done, total: signal.raise_signal(signal.SIGINT) if done == 2 else None

    command = pretrain_command(smear_folder / "manifest.csv", tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(training, "progress_bar", interrupting)
        assert cli.main(command) == 130
    stopped = [line for line in capsys.readouterr().err.splitlines() if line.startswith("reddino:")]
    assert stopped == ["reddino: stopped after step 2 of 4; the same command continues."]
    assert cli.main(command) == 0
    undisturbed = (run / "model" / "model.safetensors").read_bytes()
    assert (tmp_path / "run" / "model" / "model.safetensors").read_bytes() == undisturbed


@pytest.mark.parametrize("names", [("--online-data", "--online-view"), ("--labelled", "--label-view")])
def test_pretrain__scores_labelled_cells_while_it_trains(
    smear_folder: Path, tmp_path: Path, names: tuple[str, str]
) -> None:
    manifest = smear_folder / "manifest.csv"
    options = [names[0], str(manifest), names[1], "40", "px"]
    assert cli.main(pretrain_command(manifest, tmp_path / "run", *options)) == 0
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "online_knn_macro_f1" in record] == [0, 4]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--set", "optim.lrr=1"], "optim.lrr: unknown key"),
        (["--start", "no-such-model"], "no-such-model"),
        (["--set", "run.samples"], "not of the form"),
    ],
)
def test_pretrain__refuses_what_it_does_not_know(
    options: list[str], said: str, smear_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = pretrain_command(smear_folder / "manifest.csv", tmp_path / "run", *options)
    assert cli.main(command) == 1
    complaints = [line for line in capsys.readouterr().err.splitlines() if line.startswith("reddino:")]
    assert len(complaints) == 1
    assert said in complaints[0]


def test_embed__writes_a_row_a_cell(tables: list[str], smear_folder: Path) -> None:
    table = read_embeddings(tables[0])
    assert len(table) == len(read_manifest(smear_folder / "manifest.csv"))
    assert table.meta["view"] == {
        "kind": "cells",
        "side": 1.6,
        "unit": "diameters",
        "output": 56,
        "border": "pad",
        "scale": "picture",
    }
    assert table.meta["model"] == "trained"


def test_embed__takes_a_folder_of_images_whole(run: Path, smear_folder: Path, tmp_path: Path) -> None:
    command = ["embed", f"{smear_folder}/phone", "--model", f"{run}/model", "--out", str(tmp_path / "t")]
    assert cli.main([*command, "--pooling", "cls+mean"]) == 0
    table = read_embeddings(tmp_path / "t")
    assert (len(table), table.meta["view"]["kind"]) == (4, "image")
    assert table.vectors.shape[1] == 2 * 192


def test_embed__wants_a_side_with_its_unit(
    run: Path, smear_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "embed",
        str(smear_folder / "manifest.csv"),
        "--model",
        f"{run}/model",
        "--out",
        str(tmp_path / "t"),
        "--side",
        "64",
    ]
    assert cli.main(command) == 1
    assert "give both" in one_sentence(capsys.readouterr().err)


def test_stain__of_embed_and_fit_is_recorded_and_another_word_refused(
    smear_folder: Path, tmp_path: Path
) -> None:
    data, how = str(smear_folder / "manifest.csv"), ["--image-size", "28", "--stain", "reinhard"]
    model = ["--model", "colour-histogram"]
    assert cli.main(["embed", data, *model, "--out", str(tmp_path / "t"), *how]) == 0
    assert read_embeddings(tmp_path / "t").meta["view"]["stain"] == "reinhard"
    rare = ["--drop", "burr", "ring-stage parasite", "--folds", "2"]
    assert cli.main(["fit", data, *model, "--out", str(tmp_path / "c"), *how, *rare]) == 0
    assert json.loads((tmp_path / "c" / "classifier.json").read_text())["view"]["stain"] == "reinhard"
    with pytest.raises(SystemExit):
        cli.main(["embed", data, "--out", str(tmp_path / "u"), "--stain", "vahadane"])


def test_embed__takes_a_quoted_pattern_finds_cells_and_pools_them_by_field(
    smear_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pattern, out = f"{smear_folder}/lilac/*p0[01]*.jpg", str(tmp_path / "t")
    command = ["embed", pattern, "--model", "colour-histogram", "--image-size", "28", "--out", out]
    assert cli.main([*command, "--find-cells", "--per", "field"]) == 0
    found = read_embeddings(out)
    assert len(found) == 2
    assert (found.numbers("views") > 10).all()
    capsys.readouterr()
    assert cli.main([*command, "--find-cells"]) == 1
    assert "the meaning of a row" in one_sentence(capsys.readouterr().err)


def test_embed__takes_several_names(smear_folder: Path, tmp_path: Path) -> None:
    pictures = sorted(str(path) for path in (smear_folder / "lilac").glob("*.jpg"))[:2]
    command = [
        "embed",
        *pictures,
        f"{smear_folder}/phone",
        "--model",
        "colour-histogram",
        "--image-size",
        "28",
    ]
    assert cli.main([*command, "--out", str(tmp_path / "t")]) == 0
    assert set(read_embeddings(tmp_path / "t").strings("source")) == {"lilac", "phone"}


def test_embed__stopped_by_the_keyboard_says_how_to_go_on(
    smear_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from reddino.embedding.baselines import ColourHistogram

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ColourHistogram, "embed", stop)
    command = ["embed", f"{smear_folder}/phone", "--model", "colour-histogram", "--out", str(tmp_path / "t")]
    assert cli.main([*command, "--view", "image"]) == 130
    assert "the same command continues" in one_sentence(capsys.readouterr().err)


def test_convert__writes_a_table_to_one_file(
    tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["convert", tables[0], str(tmp_path / "t.npz")]) == 0
    assert f"{len(read_embeddings(tables[0]))} vectors" in capsys.readouterr().out
    with np.load(tmp_path / "t.npz") as read:
        assert np.array_equal(read["embedding"], read_embeddings(tables[0]).vectors)
    assert cli.main(["convert", tables[0], str(tmp_path / "t.xlsx")]) == 1
    assert ".h5ad, .npz, .csv" in one_sentence(capsys.readouterr().err)


def test_embed__refuses_to_mix_models_in_one_table(
    tables: list[str], run: Path, smear_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "embed",
        f"{smear_folder}/manifest.csv",
        "--model",
        f"untrained:{run}/model",
        "--out",
        tables[0],
    ]
    assert cli.main(command) == 1
    assert "the model's weights" in one_sentence(capsys.readouterr().err)


def test_evaluate__compares_models_and_writes_json_and_markdown(
    tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scores.json"
    options = ["--group-by", "patient", "--folds", "2", "--map", "ovalocyte=oval", "elliptocyte=oval"]
    labels = read_embeddings(tables[0])
    lonely = lonely_labels(labels.strings("label"), labels.strings("patient"))
    assert cli.main(["evaluate", *tables, *options, "--drop", *lonely, "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    saved = json.loads(out.read_text())
    assert [result["model"] for result in saved["results"]] == ["trained", "untrained", "size"]
    assert saved["provenance"]["data"] == labels.meta["data"]
    for result in saved["results"]:
        assert "oval" in result["classes"]
        assert not {"ovalocyte", *lonely} & set(result["classes"])
        score = result["scores"]["20-NN"]["mean"]["macro_f1"]
        assert f"{score:.3f} ±" in shown
        assert f"{score:.3f} ±" in out.with_suffix(".md").read_text()


def lonely_labels(labels: list[str], patients: list[str]) -> list[str]:
    """Labels of fewer than three patients, once ovalocytes and elliptocytes are one."""
    homes: dict[str, set[str]] = {}
    for label, patient in zip(labels, patients, strict=True):
        homes.setdefault(label, set()).add(patient)
    return sorted(
        label for label, who in homes.items() if len(who) < 3 and label not in ("ovalocyte", "elliptocyte")
    )


def test_evaluate__refuses_tables_of_other_views(
    tables: list[str], run: Path, smear_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = str(tmp_path / "wider")
    view = ["--side", "2", "--unit", "diameters"]
    cli.main(["embed", f"{smear_folder}/manifest.csv", "--model", f"{run}/model", "--out", other, *view])
    capsys.readouterr()
    assert cli.main(["evaluate", tables[0], other]) == 1
    sentence = one_sentence(capsys.readouterr().err)
    assert "cannot be compared" in sentence
    assert "view" in sentence


def test_evaluate__tests_the_named_source(tables: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--protocol", "fixed", "--split-column", "source", "--test", "drawn-phone"]
    table = read_embeddings(tables[0])
    whole = whole_cells(table)[0]
    assert len(whole) < len(table)
    for scored, kept in ((whole, []), (table, ["--keep-border"])):
        assert cli.main(["evaluate", tables[0], *options, *kept]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert f"{scored.strings('source').count('drawn-phone')} test" in shown


def test_evaluate__explains_a_malformed_map(tables: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", tables[0], "--map", "ovalocyte"]) == 1
    assert "old=new" in one_sentence(capsys.readouterr().err)


def test_models__lists_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models"]) == 0
    shown = capsys.readouterr().out
    for name in ("reddino-small", "dinov2-large", "efficientnet-lite0", "colour-histogram", "untrained:NAME"):
        assert name in shown


def test_cli__a_full_disk_is_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("reddino.synthesise", fail)
    assert cli.main(["synthesise", str(tmp_path / "s")]) == 1
    assert "No space left on device" in one_sentence(capsys.readouterr().err)


def test_cli__our_own_faults_keep_their_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fault(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("reddino.synthesise", fault)
    with pytest.raises(ZeroDivisionError):
        cli.main(["synthesise", str(tmp_path / "s")])


def test_plan__prints_a_line_for_each_thing_it_estimates(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "vit-tiny-scratch", "--device-kind", "300/80"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["network", "operations", "memory"]
    assert not any("\\n" in line for line in lines)
