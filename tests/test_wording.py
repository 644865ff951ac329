"""The package's prose and names use the words of the field: programs return and report, they do not speak."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).parents[1] / "src" / "reddino"
#: Suffixes of the files that people read or edit.
SUFFIXES = {".py", ".js", ".html", ".css", ".yaml", ".md"}
#: Words, and what to write in their place. Each is sought as a whole word, in names between underscores too.
INSTEAD = {
    "say, says, said, saying": "state, return, log, verdict or text",
    "tell, tells, told": "report, show, separate, predict or hold",
    "know, knows": "hold, have or support (what is known is `known`)",
    "ask, asks, asked, asking": "request, require or query",
    "want, wants": "need, request or wanted",
    "guess, guesses, guessed": "estimate, predict or infer",
    "beside": "next to, compared with or with",
    "room": "space, width or cores",
    "signs": "warnings or marks",
    "go on, goes on, going on": "continue",
    "anew": "again",
    "likewise": "the same",
    "person, persons": "user or patient",
    "drawn smear, drawn smears, drawn laboratory, drawn laboratories, drawn slide, drawn slides": "synthetic",
    "drawn cell, drawn cells, drawn field, drawn fields": "synthetic (if chosen at random: sampled)",
    "drawn source, drawn sources, drawn collection, drawn collections": "synthetic",
}
WRITE = {word: instead for words, instead in INSTEAD.items() for word in words.split(", ")}


class Allowed(NamedTuple):
    """A word that one file may use, since it is not that file's to choose."""

    file: str
    word: str
    reason: str


ALLOWED = (
    Allowed("api/demo_steps.py", "say", "parameter of the public `reddino.demo`"),
    Allowed("api/demonstration.py", "say", "parameter of the public `reddino.demo`"),
    Allowed("cli/demonstration.py", "say", "parameter of the public `reddino.demo`"),
    Allowed(
        "evaluation/batch_effect/meanings.py", "told", "names of measures in results, such as `source told`"
    ),
    Allowed("evaluation/batch_effect/sample.py", "told", "names of measures in results"),
    Allowed("evaluation/batch_effect/verdict.py", "told", "names of measures in results"),
    Allowed("figures/batch_figure.py", "told", "names of measures in results"),
    Allowed("figures/run_report.py", "signs", "key of the warnings in metrics.jsonl"),
    Allowed("foundations/full_disk.py", "want", "`for want of space` is the noun"),
    Allowed("patients/model_folder.py", "tells", "key `tells_missing` of patients.json"),
    Allowed("patients/patient_model.py", "tells", "key `tells_missing` of patients.json"),
    Allowed("pretraining/run/folder.py", "signs", "key of the warnings in metrics.jsonl"),
    Allowed("pretraining/run/report.py", "signs", "key of the warnings in metrics.jsonl"),
    Allowed("reviewing/cell_rows.py", "beside", "row `root_beside` of review databases"),
    Allowed("slide_reports/result_files.py", "beside", "column `beside_learned` of slides.csv"),
)


def _uses(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the word of each use; underscores part the words of a name."""
    without_methods = re.sub(r"\btell\(", "(", text.lower())  # of file objects
    for number, line in enumerate(without_methods.splitlines(), 1):
        words = re.findall(r"[a-z]+", line)
        pairs = map(" ".join, pairwise(words))
        yield from ((number, word) for word in chain(words, pairs) if word in WRITE)


def test_uses__are_found_in_prose_and_names() -> None:
    lines = (
        '"""What it says."""',
        "_told = asked_for = Said",
        "it goes on; drawn smears, drawn_cells",
        "tasks, known, file.tell()",
    )
    assert sorted(_uses("\n".join(lines))) == [
        (1, "says"),
        (2, "asked"),
        (2, "said"),
        (2, "told"),
        (3, "drawn cells"),
        (3, "drawn smears"),
        (3, "goes on"),
    ]


def test_package__uses_the_words_of_the_field() -> None:
    allowed = {(one.file, one.word) for one in ALLOWED}
    used, wrong = set(), []
    for file in sorted(SOURCE.rglob("*")):
        if file.suffix in SUFFIXES:
            name = file.relative_to(SOURCE).as_posix()
            for line, word in _uses(file.read_text("utf-8")):
                used.add((name, word))
                if (name, word) not in allowed:
                    wrong.append(f"src/reddino/{name}:{line}: '{word}'; write {WRITE[word]}")
    assert wrong == []
    assert sorted(allowed - used) == [], "allowed words that are gone: take them out of ALLOWED"
