"""Run the commands of the pages in docs/getting-started, and put what they print below them.

python docs/run_getting_started.py --in FOLDER

A block of `sh` with a command of reddino and the block of `text` below it are a command and its output. The
commands run in the order of the pages, in FOLDER, where what they write stays.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent
PAGES = [
    DOCS / "getting-started" / f"{name}.md"
    for name in ("install", "first-map", "first-classifier", "first-model")
]
EXCHANGE = re.compile(r"```sh\n(reddino [^`]*?)\n```\n\n```text\n(.*?)```", re.DOTALL)
#: Log lines of stages that last, which depend on the machine's speed.
STAGE = re.compile(r"\d\d:\d\d:\d\d INFO .*( \.\.\.|:.* done in [\d,]+ s|: .* after [\d,]+ s)$")
#: Where the pages show a picture that a command made.
PICTURES = {"figures/first/map.png": DOCS / "figures" / "first-map.png"}


def printed(command: str, folder: Path) -> str:
    """Run one command and return what it prints; ends the program where it fails."""
    words = shlex.split(command.replace("\\\n", " "))
    print(f"$ {command}", flush=True)
    ended = subprocess.run(
        [sys.executable, "-m", "reddino", *words[1:]],
        cwd=folder,
        env={**os.environ, "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(ended.stdout, flush=True)
    if ended.returncode:
        raise SystemExit(f"exit code {ended.returncode}")
    lines = (line.rstrip() for line in ended.stdout.splitlines() if not STAGE.match(line))
    return "".join(f"{line}\n" for line in lines)


def main() -> None:
    """Run the pages and rewrite them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--in", dest="folder", type=Path, required=True, help="a new or empty folder")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        text = EXCHANGE.sub(
            lambda found: f"```sh\n{found[1]}\n```\n\n```text\n{printed(found[1], folder)}```",
            page.read_text(encoding="utf-8"),
        )
        page.write_text(text, encoding="utf-8")
    for made, shown in PICTURES.items():
        shutil.copyfile(folder / made, shown)


if __name__ == "__main__":
    main()
