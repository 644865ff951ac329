"""Median and spread of the morphology features on synthetic smears (`python benchmarks/morphology.py`)."""

SCALES = (
    (0.6171, 0.08798),  # diameter
    (1.996, 0.3113),  # perimeter
    (0.988, 0.09407),  # roundness
    (0.9175, 0.1424),  # elongation
    (0.9769, 0.01046),  # solidity
    (0.9994, 0.003427),  # convexity
    (0.7967, 0.01248),  # extent
    (0.03599, 0.08092),  # radius spread
    (0.04252, 0.0816),  # harmonic 2
    (0.01409, 0.02008),  # harmonic 3
    (0.01147, 0.02538),  # harmonic 4
    (0.008419, 0.01173),  # harmonic 5
    (0.006918, 0.009633),  # harmonic 6
    (0.1767, 0.1462),  # pallor
    (0.06365, 0.05598),  # pale share
    (0.9075, 0.1371),  # ring 1
    (1.12, 0.06931),  # ring 2
    (1.067, 0.09509),  # ring 3
    (0.9332, 0.1446),  # ring 4
    (0.8057, 0.2143),  # ring 5
    (3.671, 1.271),  # grey contrast
    (0.5856, 0.06481),  # grey homogeneity
    (0.1861, 0.05554),  # grey energy
    (0.82, 0.07924),  # grey correlation
    (4.025, 0.4238),  # grey entropy
    (0.6216, 0.184),  # R mean
    (0.5206, 0.1475),  # G mean
    (0.5939, 0.1685),  # B mean
    (0.02511, 0.01322),  # R spread
    (0.04348, 0.01709),  # G spread
    (0.02749, 0.008845),  # B spread
    (0.01088, 0.02899),  # R skewness
    (0.03333, 0.02061),  # G skewness
    (0.01957, 0.03079),  # B skewness
)
