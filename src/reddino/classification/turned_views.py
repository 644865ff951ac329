"""Views as fine-tuning sees them: flipped, turned by right angles, a little brighter or darker."""

from __future__ import annotations

import numpy as np

from reddino.embedding.view_encoder import Images


def augmented(images: Images, rng: np.random.Generator) -> Images:
    """Flip and turn each view by right angles at random, its channels up to 10 % brighter or darker.

    A cell has no upper side, and stains and lamps differ from slide to slide.
    """
    changed = np.empty_like(images)
    for place, image in enumerate(images):
        turned = np.rot90(image, int(rng.integers(4)))
        turned = turned[:, ::-1] if rng.random() < 0.5 else turned
        gain = rng.uniform(0.95, 1.05) * rng.uniform(0.95, 1.05, 3)
        changed[place] = np.clip(np.rint(turned * gain), 0, 255)
    return changed
