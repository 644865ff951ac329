"""Build the documentation into site/; a warning of any step is an error.

python docs/build_site.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import check_site
import generate_reference

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Write the generated pages, build the site, and check it; 1 where anything is wrong."""
    generate_reference.main()
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    built = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    print(built.stdout, flush=True)
    # The reader of docstrings warns on a line of its own, which the site's builder does not count.
    warnings = [line for line in built.stdout.splitlines() if line.startswith(("griffe:", "mkdocstrings:"))]
    found = check_site.faults(ROOT / "site") if built.returncode == 0 else []
    print("\n".join(found) if found else "site/index.html")
    return 1 if built.returncode or warnings or found else 0


if __name__ == "__main__":
    sys.exit(main())
