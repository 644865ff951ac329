"""A table of cells compared with its model's pretraining, noted next to its parts."""

from __future__ import annotations

import json
from pathlib import Path

from reddino.classification.compare_smears import PRETRAINING, compare_embeddings, kept_by_network
from reddino.classification.domain_report import DomainReport
from reddino.embedding.side_files import write_side_file
from reddino.embedding.table import read_embeddings
from reddino.embedding.view_encoder import ViewEncoder
from reddino.networks.folder import CARD, read_card
from reddino.networks.shipped import as_folder
from reddino.views.spec import DEFAULT_SIDES, ViewSpec

DOMAIN_FILE = "domain.json"
#: Rows of a table up to which all of its vectors are compared.
MOST_ROWS = 100_000


def note_domain(
    table: Path,
    root: Path,
    name: str,
    *,
    encoder: ViewEncoder,
    spec: ViewSpec,
    pooling: str,
    rows: int,
) -> DomainReport | None:
    """Compare a table with what is kept of its model's pretraining cells, and note the verdicts.

    Args:
        table: folder of the finished table.
        root: folder of its pictures.
        name: of the model.
        encoder: the model.
        spec: the views of the table.
        pooling: of the table.
        rows: of the table.

    Returns:
        The verdicts; None where the model keeps nothing, the views are others than it is pretrained on, or
        the table has more than `MOST_ROWS` rows.
    """
    usual = (spec.kind, spec.side, spec.unit, spec.stain) == ("cells", *DEFAULT_SIDES["cells"], "none")
    folder = Path(as_folder(name))
    if not usual or pooling != "cls" or not 0 < rows <= MOST_ROWS or not (folder / CARD).is_file():
        return None
    if encoder.input_size != read_card(folder).image_size:
        return None
    kept = kept_by_network(name, encoder)
    if kept is None:
        return None
    named = {"learned": PRETRAINING, "maker": f"'{name}'", "known": False}
    report = compare_embeddings(read_embeddings(table), kept, root, **named)
    write_side_file(table, DOMAIN_FILE, json.dumps(report.as_dict(), indent=1) + "\n")
    return report
