"""Fine-tuning on demand: in a process of its own, with its progress, its result, and its errors."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from review_cells import review_cells
from review_tables import open_session

from reddino.foundations.errors import RedDinoError
from reddino.reviewing.web.fine_tuning import FineTuning, TunedState
from reddino.reviewing.web.page_requests import ActBody, TuneBody
from reddino.smears.manifest import Manifest

REPORT = {"report": {"scores": {"macro_f1": 0.812}, "intervals": {"macro_f1": [0.7, 0.9]}, "evidence": True}}
STAND_IN = """
import json, os, sys, time
out = sys.argv[sys.argv.index("--out") + 1]
assert sys.argv[1] == "fit" and "--fine-tune" in sys.argv
print("12:00:00 INFO steps: 30 of 120 (25 %) after 2 s", flush=True)
until = time.monotonic() + 20
while os.path.exists(GATE) and time.monotonic() < until:
    time.sleep(0.01)
if "--fail" in sys.argv:
    sys.exit("reddino: the model cannot be tuned")
os.mkdir(out)
json.dump(json.loads(REPORT), open(out + "/classifier.json", "w"))
"""


def cells(*labels: str) -> Manifest:
    manifest = review_cells(len(labels))
    table = manifest.table
    if "label" in table.column_names:
        table = table.drop_columns(["label"])
    return Manifest(table.append_column("label", [list(labels)]), manifest.root)


@pytest.fixture
def tuning(tmp_path: Path) -> Callable[..., FineTuning]:
    """Fine-tuning by a stand-in for `reddino fit`, which waits while the file `gate` is there."""
    script = tmp_path / "stand_in.py"
    gate = f"GATE = {str(tmp_path / 'gate')!r}\nREPORT = {json.dumps(REPORT)!r}\n"
    script.write_text(gate + STAND_IN)
    (tmp_path / "gate").touch()

    def made(*options: str, labels: tuple[str, ...] = ("ring", "round")) -> FineTuning:
        program = (sys.executable, str(script))
        return FineTuning(tmp_path / "tuned", lambda: cells(*labels), options, program)

    return made


def until(one: FineTuning, is_so: Callable[[TunedState], bool]) -> TunedState:
    end = time.monotonic() + 30
    while not is_so(found := one.state()):
        assert time.monotonic() < end, found
        time.sleep(0.01)
    return found


def test_start__shows_how_far_it_is_and_then_the_result(
    tuning: Callable[..., FineTuning], tmp_path: Path
) -> None:
    one = tuning()
    assert one.state().state == "none"
    assert one.start().state == "running"
    running = until(one, lambda found: found.percent is not None)
    assert running.percent == 25 and running.text.startswith("steps: 30 of 120") and running.labels == 2
    with pytest.raises(RedDinoError, match="is running"):
        one.start()
    (tmp_path / "gate").unlink()
    done = until(one, lambda found: found.state != "running")
    assert (done.state, done.percent) == ("done", 100)
    assert done.text == "macro F1 0.81 (0.70 to 0.90) on groups held out"
    assert done.where == str(tmp_path / "tuned" / "1" / "classifier")
    assert (tmp_path / "tuned" / "1" / "labels.csv").is_file()
    one.start()
    assert until(one, lambda found: found.state != "running").where == str(
        tmp_path / "tuned" / "2" / "classifier"
    )


def test_start__that_fails_says_why(tuning: Callable[..., FineTuning], tmp_path: Path) -> None:
    (tmp_path / "gate").unlink()
    one = tuning("--fail")
    one.start()
    failed = until(one, lambda found: found.state != "running")
    assert (failed.state, failed.text) == ("failed", "the model cannot be tuned")


def test_stop__ends_it_and_another_can_start(tuning: Callable[..., FineTuning], tmp_path: Path) -> None:
    one = tuning()
    one.start()
    until(one, lambda found: found.percent is not None)
    assert one.stop().state == "stopped"
    (tmp_path / "gate").unlink()
    one.start()
    assert until(one, lambda found: found.state != "running").state == "done"


def test_start__needs_labels_of_two_classes(tuning: Callable[..., FineTuning], tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="labels of two classes"):
        tuning(labels=("ring", "ring")).start()
    assert not (tmp_path / "tuned").exists()


def test_session__runs_the_command_itself_and_shows_why_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reddino.reviewing.web.fine_tuning.NICER", 0)
    options = ("--model", str(tmp_path / "no model"), "--side", "24", "--unit", "px", "--keep-border")
    session = open_session(tmp_path, tuned=tmp_path / "tuned", tune_options=options)
    with pytest.raises(RedDinoError):  # nothing was labelled yet
        session.tune(TuneBody("ada", "start"))
    for row in range(4):
        session.act(ActBody("ada", "label", [row], f"act {row}", class_number=1 + row % 2))
    assert session.tune(TuneBody("ada", "start"))["tuning"]["state"] == "running"
    session.act(ActBody("ada", "artefact", [5], "while it runs"))
    end = time.monotonic() + 200
    while (found := session.overview("ada")["tuning"])["state"] == "running":
        assert time.monotonic() < end
        time.sleep(0.1)
    session.close()
    assert found["state"] == "failed" and found["labels"] == 4
    assert "no model" in found["text"], found["text"]
