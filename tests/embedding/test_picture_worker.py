"""Work on pictures that is sent elsewhere: the results of one process, and what a worker refuses."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import pytest
from drawn_slides import drawn_slide, found_cells
from labelled_smears import draw_fields

from reddino.embedding.picture_worker import PicturePlan, PictureResults, PictureWorker
from reddino.embedding.worker_replies import Refusal, require_seen
from reddino.foundations.errors import RedDinoError
from reddino.rbc.found_cells import CellFinder, find_cells_in
from reddino.rbc.picture_diameters import PictureDiameters
from reddino.regions.slide_cells import find_all_cells
from reddino.smears.dealt_pictures import Result
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.opening import open_data


class Sends:
    """Has each picture worked on by what was pickled on its way, two at a time."""

    def results(
        self, work: Callable[[int], Result], manifest: Manifest, numbers: Sequence[int]
    ) -> Generator[Result, None, None]:
        plan = pickle.loads(pickle.dumps(PicturePlan(work, manifest, tuple(numbers), Path.cwd())))
        worker = PictureWorker(plan, 2)
        assert isinstance(worker.ready(), str)
        for start in range(0, len(numbers), 2):
            output = worker.work((start, min(start + 2, len(numbers))))
            assert isinstance(output, PictureResults)
            require_seen(output)
            yield from pickle.loads(pickle.dumps(output)).results


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Five fields without marks; one cannot be read."""
    listed = draw_fields(tmp_path_factory.mktemp("fields"), fields=5, marked=False)
    (listed.root / "f3.png").write_bytes(b"not an image")
    return listed


def test_find_cells_in__finds_elsewhere_what_it_finds_here(fields: Manifest) -> None:
    here, elsewhere = (Failures(), PictureDiameters(fields)), (Failures(), PictureDiameters(fields))
    one = find_cells_in(fields, failures=here[0], pictures=here[1])
    other = find_cells_in(fields, failures=elsewhere[0], pictures=elsewhere[1], deal=Sends())
    assert one.table.num_rows > 0
    assert other.table.equals(one.table)
    assert list(elsewhere[0]) == list(here[0])
    assert elsewhere[1].known(range(5)) == here[1].known(range(5))


def test_find_all_cells__surveys_a_slide_elsewhere_as_here(tmp_path: Path) -> None:
    found = find_all_cells(open_data(drawn_slide().path), folder=tmp_path / "s", deal=Sends())
    assert found.table.equals(found_cells()[0].table)


def worker_of(manifest: Manifest, folder: Path = Path("/")) -> PictureWorker:
    return PictureWorker(
        PicturePlan(CellFinder(manifest, PictureDiameters(manifest)), manifest, (0, 1, 2), folder), 1
    )


def test_picture_worker__names_the_node_that_lacks_the_folder_of_relative_paths(tmp_path: Path) -> None:
    manifest = draw_fields(tmp_path / "fields", fields=3, marked=False)
    refused = worker_of(Manifest(manifest.table, Path("fields")), tmp_path / "absent").ready()
    assert isinstance(refused, Refusal)
    assert f"cannot see '{tmp_path / 'absent' / 'fields'}'" in refused.message


def test_picture_worker__tells_a_picture_that_only_others_see_from_a_broken_one(tmp_path: Path) -> None:
    manifest = draw_fields(tmp_path / "fields", fields=3, marked=False)
    absent = tmp_path / "fields" / "f1.png"
    absent.unlink()
    output = worker_of(manifest).work((0, 3))
    assert isinstance(output, PictureResults)
    assert output.unseen == str(absent)
    require_seen(output)  # gone for all: one of the failures
    assert output.results[1].failure is not None
    absent.write_bytes(b"back")
    with pytest.raises(RedDinoError, match=r"the node \S+ cannot see '\S+f1.png': bring the pictures"):
        require_seen(output)
