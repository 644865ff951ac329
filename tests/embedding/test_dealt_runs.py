"""Runs for workers, and the parts that they come to: those of one process, whatever the runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from smear_fields import VIEW, Projection, make_fields

from reddino.embedding.batches import Dealer, Forecast
from reddino.embedding.dealt_runs import PartsOfRuns, RunBook, RunCutter
from reddino.embedding.embedding_pass import embed_manifest
from reddino.embedding.open_part import ImageOutcome, PartEnd, Run
from reddino.embedding.pass_drivers import PassWork
from reddino.embedding.ray_cluster import Shares, share
from reddino.embedding.run_worker import RunOutput, RunWorker, plan_work
from reddino.embedding.worker_replies import Refusal, require_seen
from reddino.foundations.errors import RedDinoError
from reddino.views.by_image import ViewsByImage
from reddino.views.placing import SQUARE


def outcome(run: Run, views: int = 3) -> RunOutput:
    outcomes = tuple(ImageOutcome(number, views) for number in range(*run))
    squares = np.zeros(views * len(outcomes), SQUARE)
    return RunOutput(run, outcomes, squares, np.zeros((len(squares), 2), np.float32), {}, {}, None, "node")


def cutter(expected: np.ndarray | None, missing: list[Run], *, batch_size: int = 4) -> RunCutter:
    return RunCutter(missing, expected, batch_size=batch_size, row_bytes=8, workers=2)


def all_runs(cuts: RunCutter) -> list[Run]:
    runs = []
    while (run := cuts.cut()) is not None:
        runs.append(run)
        cuts.see(run[1] - run[0], 3 * (run[1] - run[0]))
    return runs


@pytest.mark.parametrize("known", [True, False])
def test_run_cutter__cuts_all_that_is_missing_and_nothing_twice(known: bool) -> None:
    missing = [(2, 30), (31, 32), (40, 97)]
    runs = all_runs(cutter(np.full(100, 3) if known else None, missing))
    covered = [number for run in runs for number in range(*run)]
    assert covered == [number for run in missing for number in range(*run)]
    assert len(runs) >= 16


def test_run_cutter__takes_images_without_views_along() -> None:
    assert all_runs(cutter(np.zeros(300, np.int64), [(0, 300)])) == [(0, 256), (256, 300)]


def test_run_book__holds_back_runs_until_their_turn_and_deals_no_more_than_fit() -> None:
    book: RunBook[RunOutput] = RunBook(cutter(np.full(100, 4), [(0, 100)]), ahead=3)
    dealt = [book.deal() for _ in range(5)]
    assert dealt[3:] == [None, None]
    first, second, third = [run for run in dealt if run is not None]
    assert list(book.take(outcome(second))) == []
    assert book.lose(first, blame=True)
    assert book.deal() == first
    assert [one.run for one in book.take(outcome(first))] == [first, second]
    assert [one.run for one in book.take(outcome(third))] == [third]
    assert not book.finished


def test_run_book__gives_up_a_run_that_is_lost_too_often() -> None:
    book: RunBook[RunOutput] = RunBook(cutter(np.full(9, 4), [(0, 9)]), ahead=9, most_losses=2)
    run = book.deal()
    assert run is not None
    assert all(book.lose(run, blame=False) for _ in range(5))
    assert [book.lose(run, blame=True) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("length", [1, 2, 5, 12])
def test_parts_of_runs__are_those_of_one_process(tmp_path: Path, length: int) -> None:
    manifest = make_fields(tmp_path / "fields")
    (tmp_path / "fields" / "field05.png").write_bytes(b"not an image")
    views = ViewsByImage(manifest, VIEW)
    dealer = Dealer(views, 20, 3, 1)
    missing = [(0, 4), (5, 12)]
    ends = [item for item in dealer.deal(missing, Forecast(views, missing, 0)) if isinstance(item, PartEnd)]
    work = PassWork(dealer, Projection(), "cls", None, None, 20)
    worker = RunWorker(plan_work(work, "cpu"), 1)
    assert not isinstance(worker.ready(), Refusal)
    parts = PartsOfRuns(manifest, missing, 20, Forecast(views, missing, 0))
    found, rows = [], 0
    for start, stop in missing:
        for first in range(start, stop, length):
            output = worker.work((first, min(first + length, stop)))
            assert isinstance(output, RunOutput)
            for item in parts.add(output):
                if isinstance(item, PartEnd):
                    found.append(item)
                else:
                    rows += len(item.squares)
                    assert len(item.squares) == len(item.output)
    assert found == ends
    assert rows == sum(end.views for end in ends)


def test_run_worker__names_the_node_that_lacks_the_pictures(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields")
    work = PassWork(Dealer(ViewsByImage(manifest, VIEW), 20, 3, 1), Projection(), "cls", None, None, 20)
    plan = plan_work(work, "cpu")
    (tmp_path / "fields").rename(tmp_path / "moved")
    refused = RunWorker(plan, 1).ready()
    assert isinstance(refused, Refusal)
    assert f"cannot see '{tmp_path / 'fields'}'" in refused.message


def test_run_worker__tells_a_picture_that_only_others_see_from_a_broken_one(tmp_path: Path) -> None:
    manifest = make_fields(tmp_path / "fields")
    work = PassWork(Dealer(ViewsByImage(manifest, VIEW), 20, 3, 1), Projection(), "cls", None, None, 20)
    worker = RunWorker(plan_work(work, "cpu"), 1)
    worker.ready()
    absent = tmp_path / "fields" / "field01.png"
    absent.unlink()
    output = worker.work((0, 3))
    assert isinstance(output, RunOutput)
    assert output.unseen == str(absent)
    require_seen(output)  # gone for all: one of the failures
    assert output.outcomes[1].failure is not None
    absent.write_bytes(b"back")
    with pytest.raises(RedDinoError, match=r"the node \S+ cannot see '\S+field01.png': bring the pictures"):
        require_seen(output)


def test_run_worker__refuses_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = make_fields(tmp_path / "fields")
    work = PassWork(Dealer(ViewsByImage(manifest, VIEW), 20, 3, 1), Projection(), "cls", None, None, 20)
    plan = plan_work(work, "cpu")
    monkeypatch.setattr("reddino.embedding.worker_replies.__version__", "9.9")
    refused = RunWorker(plan, 1).ready()
    assert isinstance(refused, Refusal)
    assert "runs RedDino 9.9" in refused.message


def test_embed_manifest__refuses_what_a_driver_refuses_and_leaves_nothing(tmp_path: Path) -> None:
    class Refuses:
        def embedded(self, work: PassWork, missing: list[Run], forecast: Forecast) -> object:
            yield from ()
            raise RedDinoError("no cluster")

    with pytest.raises(RedDinoError, match="no cluster"):
        embed_manifest(
            make_fields(tmp_path / "f"),
            Projection(),
            tmp_path / "t",
            view=VIEW,
            driver=Refuses(),  # type: ignore[arg-type]
        )
    assert not list((tmp_path / "t").glob("*part-*"))


NODES = [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 6.0}]


@pytest.mark.parametrize(
    ("nodes", "workers", "gpus", "shares"),
    [
        (NODES, 0, True, Shares(2, 4, 1)),
        (NODES, 0, False, Shares(3, 4)),
        (NODES, 2, False, Shares(2, 7)),
        (NODES, 100, False, Shares(100, 1)),
        (NODES[1:], 0, True, Shares(1, 4)),
        ([{"CPU": 2.0}], 0, True, Shares(1, 2)),
        ([{"CPU": 2.0}], 2, True, Shares(2, 1)),
        ([], 0, True, Shares(1, 1)),
    ],
)
def test_share__gives_a_gpu_or_a_group_of_cores_to_each_worker(
    nodes: list[dict[str, float]], workers: int, gpus: bool, shares: Shares
) -> None:
    assert share(nodes, workers, gpus=gpus) == shares
