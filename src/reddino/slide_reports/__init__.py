"""Reports of slides: fractions with intervals, grades, sizes and shapes, as a page, CSV and FHIR."""
