"""The libraries that open microscope files: imported when needed, and named where they are missing."""

from __future__ import annotations

import logging
import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType

from reddino.smears.failures import ImageError


def library(path: Path, module: str, what: str, install: str) -> ModuleType:
    """Return a module that reads a format.

    Args:
        path: the file, for the error.
        module: to import.
        what: the format, such as "a CZI file".
        install: what brings the library: `reddino[slides]`.

    Raises:
        ImageError: it is not installed; names the format and the command that installs it.
    """
    # What it logs would be printed next to our own sentence.
    logging.getLogger(module.split(".", maxsplit=1)[0]).addHandler(logging.NullHandler())
    # On odd values of a file it would print them, and a value may be a patient's name.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"(pydicom|wsidicom|nd2|zarr)\..*")
    try:
        return import_module(module)
    except (ImportError, OSError) as error:
        raise ImageError(path, f"is {what}, which needs a library: pip install '{install}'") from error
