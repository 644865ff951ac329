"""RedDino: self-supervised foundation models for red blood cell images."""

import os

# OpenMP threads that spin while another process holds their core make a training step 3-7 times slower; the
# variable is read when the OpenMP runtime loads, that is before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
