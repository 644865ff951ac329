"""What the tests on a GPU share.

`REDDINO_CUDA_TESTS_ON=cpu` tries the tests themselves out without one. `REDDINO_CUDA_REPORT` names a file
that takes one line of JSON per test as soon as it has ended, with what it measured.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cuda)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    path = os.environ.get("REDDINO_CUDA_REPORT")
    if path is None or not (report.when == "call" or report.outcome != "passed"):
        return
    said = ""
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        said = report.longrepr[2].removeprefix("Skipped: ")
    elif report.outcome == "failed":
        said = str(getattr(getattr(report.longrepr, "reprcrash", None), "message", report.longrepr))[:400]
    line = {
        "test": report.nodeid.rpartition("/")[2],
        "outcome": report.outcome,
        "seconds": round(report.duration, 2),
        **({"said": said} if said else {}),
        "measured": dict(report.user_properties),
    }
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The first GPU; skips where torch sees none."""
    name = os.environ.get("REDDINO_CUDA_TESTS_ON", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device here")
    return torch.device("cuda", 0) if name == "cuda" else torch.device(name)


@contextmanager
def exact_products() -> Iterator[None]:
    """float32 without TF32, so that what is compared differs in nothing else; as before afterwards."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32, torch.get_num_threads()
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]
    torch.set_num_threads(before[2])


@pytest.fixture(autouse=True, scope="module")
def _exact_products_of_what_tests_share() -> Iterator[None]:
    with exact_products():
        yield


@pytest.fixture(autouse=True)
def _exact_products() -> Iterator[None]:
    with exact_products():
        yield
