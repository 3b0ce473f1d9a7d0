"""Presets of Feature2Mass: data, each line with its source.

paper   Reproduces the networks, losses, optimizer and mixing of Lee et al. 2018, without additions.
        Costs 8000 epochs, about 13,000 steps for 841 masses: three days and 12 GiB of two CPU cores, or hours of a GPU
        (`docs/performance.md`); never trained to its end by us.
        Expect masses as in figures 3–5 of Lee et al. 2018.
        python train_scripts/train_feature2mass.py --preset paper --data DATA --run RUN

quick   Trains narrower networks in smaller batches, from a start that hands images through (`linear_start`) (ours).
        Costs minutes of two CPU cores.
        Expect masses as in `docs/masses.png`. After 18,000 images a classifier trained on phantoms read 79.5 % of the
        margins of reconstructions correctly (90 % on phantoms), and held-out L1 was 0.023.
        python train_scripts/train_feature2mass.py

film    Adds what lets the discriminators teach texture (`docs/recipe-masses.md`) (ours).
        Costs about three hours of one CPU core for 811 masses.
        python train_scripts/train_feature2mass.py --preset film --data DATA --run RUN

Sources: [Lee 2018 §n], the section of the paper; (ours), it does not say.
"""

from dataclasses import replace

from feature2mass.losses import LossWeights
from feature2mass.networks import NetworkConfig
from feature2mass.settings import Mixing, Preset
from feature2mass.texture import AMPLIFIED, Texture

PAPER = Preset(
    "paper",
    network=NetworkConfig(
        width=1.0,  # (ours)
        filters=(32, 64, 128, 256, 512, 512),  # six of seven convolutions [Lee 2018 §3.2]; widths (ours)
        discriminator_width=1.0,  # (ours)
        discriminator_filters=(32, 64, 128, 256, 512),  # ten convolutions in pairs [Lee 2018 §3.2]; widths (ours)
        plain_ends=False,  # LeakyReLU–Conv–BatchNorm in each module [Lee 2018 §3.2]
        activation_last=False,  # [Lee 2018 §3.2]
        low_pass=False,  # [Lee 2018 §3.2] mentions none
        smooth_start=False,  # [Lee 2018 §3.2] mentions none
    ),
    batch=512,  # [Lee 2018 §3.2]
    epochs=8000,  # [Lee 2018 §3.2]
    ticks=200,  # (ours)
    weights=LossWeights(margin=10.0, shape=10.0, labels=10.0, reconstruction=300.0),  # [Lee 2018 §3.2]
    learning_rate=2e-4,  # [Lee 2018 §3.2]
    discriminator_learning_rate=2e-4,  # [Lee 2018 §3.2]
    beta_1=0.9,  # PyTorch's default [Lee 2018 §3.2]
    epsilon=1e-8,  # PyTorch's default [Lee 2018 §3.2]
    augment=True,  # random flips and crops [Lee 2018 §3.2]; how large a crop (ours)
    ema_half_life_images=0.0,  # [Lee 2018 §3.2] mentions no moving average
    linear_start=False,  # [Lee 2018 §3.2] mentions none
    mixing=Mixing(octaves=False, mirrored_seeds=False, largest_weight=1.0),  # [Lee 2018 §3.4]
)

NARROW = NetworkConfig(
    width=0.5,  # (ours)
    discriminator_width=0.25,  # (ours)
    plain_ends=True,  # (ours)
    activation_last=True,  # (ours)
    low_pass=True,  # (ours)
    smooth_start=True,  # (ours)
)

QUICK = Preset(
    "quick",
    network=NARROW,
    batch=32,  # (ours)
    epochs=25,  # (ours)
    ticks=8,  # (ours)
    # After a linear start, what discriminators of a few hundred steps say does more harm than good: after 16,000 images
    # at λ₄ = 1000 the share of margins read rightly was 0.755 and held-out L1 0.027 (ours)
    weights=LossWeights(margin=10.0, shape=10.0, labels=5.0, reconstruction=5000.0),
    learning_rate=2e-4,  # [Lee 2018 §3.2]
    discriminator_learning_rate=2e-4,  # [Lee 2018 §3.2]
    beta_1=0.5,  # (ours) as is usual in such networks (Radford et al. 2016)
    epsilon=1e-7,  # Keras' default (ours)
    augment=True,  # [Lee 2018 §3.2]
    ema_half_life_images=3_000,  # (ours)
    steps_per_execution=5,  # no influence on the result
    linear_start=True,  # (ours)
    mixing=Mixing(octaves=True, mirrored_seeds=True, largest_weight=0.6),  # (ours)
)

FILM = Preset(
    "film",
    network=replace(
        NARROW,
        refined_units=(5, 6),  # (ours)
        noise_units=(5, 6),  # (ours)
        plain_discriminators=True,  # (ours)
    ),
    batch=16,  # (ours)
    epochs=850,  # (ours)
    ticks=50,  # (ours)
    # λ₄ begins so high that the discriminators, which know nothing yet, cannot spoil the linear start: 150 CPU seconds
    # at 300 left a mesh of pixels, and reconstructions twice as far off. It soon falls to where their verdict counts.
    # With labels weighted ten times as much as real or fake, the discriminators hardly looked at texture.
    weights=LossWeights(margin=1.0, shape=1.0, labels=1.0, reconstruction=2000.0),  # (ours)
    learning_rate=2e-4,  # [Lee 2018 §3.2]
    discriminator_learning_rate=4e-4,  # (ours)
    beta_1=0.5,  # (ours)
    epsilon=1e-7,  # Keras' default (ours)
    augment=True,  # [Lee 2018 §3.2]
    ema_half_life_images=10_000,  # (ours)
    steps_per_execution=5,  # no influence on the result
    linear_start=True,  # (ours)
    # what the decoder lacks of an octave is given back; where it lacks nothing, nothing is (ours)
    mixing=Mixing(octaves=True, mirrored_seeds=True, largest_weight=0.6, spread=True, grain=True),
    texture=Texture(
        amplification=AMPLIFIED,  # (ours)
        penalty=0.1,  # (ours) R1, Mescheder et al. 2018
        mixtures=0.5,  # (ours)
        amplified_reconstruction=True,  # (ours)
        final_reconstruction=10.0,  # (ours)
        reconstruction_half_life_images=20_000.0,  # (ours)
    ),
)

PRESETS = {"quick": QUICK, "film": FILM, "paper": PAPER}
