"""Presets of pix2pix: data, each line with its source.

paper   Reproduces the networks, the losses and Adam of Isola et al. 2017, trained on as many images as the last phase
        of the mask-embedding GAN.
        Costs two weeks of two CPU cores, or hours of a GPU (`docs/performance.md`); never trained to its end by us.
        Expect images that readers score 1.08 of 5, where real ones score 3.78 (Ren et al. 2019, §6.5).
        python train_scripts/train_pix2pix.py --preset paper --data DATA --run RUN

quick   Trains a quarter of the filters, with a moving average (ours).
        Costs minutes of two CPU cores at 512×256.
        Expect phantoms whose edges follow the texture map (`docs/results.md`).
        python train_scripts/train_pix2pix.py

Sources: [Isola 2017 §n], the section of *Image-to-Image Translation with Conditional Adversarial Networks*, arXiv
1611.07004v3; [Ren 2019 §6.3], which says of its pix2pix only what it was given; (ours), where neither says it.
"""

from pix2pix.networks import NetworkConfig
from pix2pix.settings import Preset

PAPER = Preset(
    "paper",
    network=NetworkConfig(
        height=512,  # [Ren 2019 §6.3]
        filters=64,  # [Isola 2017, appendix]
    ),
    batch=8,  # 1 to 10 [Isola 2017 §3.3]; which (ours)
    images=1_200_000,  # (ours)
    ticks=60,  # (ours)
    l1_weight=100.0,  # [Isola 2017 §4.2]
    learning_rate=2e-4,  # [Isola 2017 §3.3]
    beta_1=0.5,  # [Isola 2017 §3.3]
    ema_half_life_images=0.0,  # [Isola 2017 §3.3] mentions no moving average
    jitter=False,  # Isola's resizing and cropping (appendix) has no counterpart in [Ren 2019 §6.3]
    phantoms=20_000,  # where no data is given (ours)
)

QUICK = Preset(
    "quick",
    network=NetworkConfig(filters=16),  # (ours)
    batch=4,  # (ours)
    images=8_000,  # (ours)
    ticks=8,  # (ours)
    l1_weight=100.0,  # [Isola 2017 §4.2]
    learning_rate=2e-4,  # [Isola 2017 §3.3]
    beta_1=0.5,  # [Isola 2017 §3.3]
    ema_half_life_images=400,  # (ours)
    steps_per_execution=5,  # no influence on the result
    jitter=True,  # (ours)
)

PRESETS = {"quick": QUICK, "paper": PAPER}
