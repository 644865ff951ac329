"""Names and sentences of slide reports; without NumPy, so that the command line can name them."""

from __future__ import annotations

#: Files of a report.
PAGE_FILE, NOTE_FILE, FHIR_FILE = "report.html", "slides.json", "slides.fhir.json"
SLIDES_FILE, FIELDS_FILE, SHAPES_FILE = "slides.csv", "fields.csv", "shapes.csv"
#: On the page, on each sheet of it, and in every file that it comes with.
NO_DIAGNOSIS = (
    "This is no diagnosis, and no result of a laboratory: a program for research counted what it takes for "
    "red cells. A morphologist must look at the slide."
)
