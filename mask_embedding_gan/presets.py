"""Presets of the mask-embedding GAN: data, each line with its source.

paper   Reproduces the network, the loss and the fade-in of Ren et al. 2019, without additions.
        Costs four days of two CPU cores, or hours of a GPU, for all seven phases (`docs/performance.md`); never
        trained to its end by us. Ren et al. trained for a week on three GPUs.
        Expect images that readers score 2.38 of 5, where real ones score 3.78 (Ren et al. 2019, §6.5).
        python train_scripts/train_mask_embed.py --phase 7 --preset paper --data DATA --run RUN

film    Trains half the paper's kernels with all additions, towards images like film mammograms (ours).
        Costs about 10 hours of one core of an AMD EPYC (Zen 4) in bfloat16 for all phases (`docs/long-run.md`).
        Expect a sliced Wasserstein distance at 32×16 of 24·10⁻³ after phase 3, where two halves of the real films are
        28·10⁻³ apart (`docs/long-run.md`).
        python train_scripts/train_mask_embed.py --phase 7 --preset film --data DATA --run RUN

quick   The recipe of `film` without the R1 penalty and detail of each image's own, on about a thirtieth of its images,
        at higher rates (ours).
        Costs five and a half minutes of two CPU cores for all seven phases.
        Expect images that fill masks, of blurred tissue (`docs/results.md`).
        python train_scripts/train_mask_embed.py --phase 7

Sources: [Ren 2019 §n], the section of the paper; [authors' release for faces], settings in the code that the authors
released for faces, where the paper says "we adjusted the batch size and learning rate" and prints neither (facts alone
are taken from it, no code); (ours), neither says.
"""

from dataclasses import replace

from mask_embedding_gan.blocks import NetworkConfig
from mask_embedding_gan.schedule import Diversity, Preset, amplified, phases

PAPER = Preset(
    "paper",
    network=NetworkConfig(
        latent_size=100,  # [Ren 2019 §4]
        embedding_size=32,  # [Ren 2019 §4]
        mask_filters=8,  # [Ren 2019 §4]
        base_filters=128,  # [Ren 2019 §4]
        latent_filters=(128, 102, 82, 66, 53, 42, 34),  # [Ren 2019 §4], each ×0.8; rounding (ours)
        group_size=4,  # of the critic's minibatch standard deviation (ours)
    ),
    phases=phases(
        batch=(128, 128, 64, 32, 32, 32, 16),  # phases 2–7 [authors' release for faces]; phase 1 (ours)
        # phases 2–7 [authors' release for faces]; phase 1 (ours)
        learning_rate=(0.001, 0.001, 0.001, 0.001, 0.0012, 0.0018, 0.0018),
        critic_learning_rate=(0.001, 0.001, 0.001, 0.001, 0.0012, 0.0018, 0.0018),  # [authors' release for faces]
        fade_in_images=(0, *6 * (600_000,)),  # that it fades in [Ren 2019 §5]; how long (ours)
        stable_images=7 * (600_000,),  # (ours)
        ticks=7 * (60,),  # (ours)
        ema_half_life_images=7 * (10_000,),  # of the saved generator; training does not depend on it (ours)
        steps_per_execution=(16, 8, 4, 2, 1, 1, 1),  # no influence on the result
    ),
    jitter=False,  # [Ren 2019 §6.1] mentions none
    diversity=None,  # [Ren 2019 §5]: the loss is WGAN-GP alone
    phantoms=20_000,  # where no data is given (ours)
)

FILM_NETWORK = NetworkConfig(
    base_filters=64,  # half the paper's (ours)
    latent_filters=(64, 51, 41, 33, 26, 21, 17),  # half the paper's (ours)
    second_convolution=True,  # (ours)
    sum_of_levels=True,  # (ours)
    times_mask=True,  # (ours)
    noise_levels=(4, 5),  # (ours)
    independent_noise=True,  # (ours)
    critic_convolutions=3,  # (ours)
    windows_from=6,  # (ours)
    levelled=True,  # (ours)
    keeps_averages=True,  # (ours)
)
AMPLIFICATION = tuple(amplified(phase) for phase in range(1, 8))  # (ours)

# R1 begins when it did in the long training, and detail of each image's own when more images alone had changed nothing
# there. Soon after the start of phase 5, both did harm (`docs/recipe.md`) (ours).
# The critic learns three times as fast as the generator: with one rate for both, in a short training on real films at
# 32×16, it saw a seventh of the distance between fakes and films. At rates of 0.002 and 0.006, images of 32×16 went
# round in circles: the critic chased patterns of single pixels that the generator exchanged for others, and the moving
# average of such generators was blurred (ours).
FILM = Preset(
    "film",
    network=FILM_NETWORK,
    phases=phases(
        batch=7 * (16,),  # (ours)
        learning_rate=(0.002, 0.002, 0.0007, 0.0005, 0.001, 0.001, 0.001),  # (ours)
        critic_learning_rate=(0.006, 0.006, 0.0021, 0.0015, 0.002, 0.003, 0.003),  # (ours)
        fade_in_images=(0, 25_000, 75_000, 150_000, 50_000, 0, 0),  # windows do not fade in (ours)
        stable_images=(50_000, 75_000, 225_000, 90_000, 750_000, 300_000, 300_000),  # (ours)
        ticks=(5, 10, 30, 24, 80, 30, 30),  # (ours)
        ema_half_life_images=7 * (10_000,),  # (ours)
        steps_per_execution=(50, 50, 25, 10, 5, 5, 5),  # no influence on the result
        amplification=AMPLIFICATION,  # (ours)
        r1_weight=(0, 0, 0, 0, 0.5, 0, 0),  # (ours)
        r1_from_images=(0, 0, 0, 0, 240_000, 0, 0),  # (ours)
        detail_weight=(0, 0, 0, 0, 5, 0, 0),  # (ours)
        detail_from_images=(0, 0, 0, 0, 500_000, 0, 0),  # (ours)
    ),
    jitter=True,  # (ours)
    diversity=Diversity(weight=0.1, share=0.75),  # (ours)
    level_spectrum=True,  # (ours)
)

QUICK = Preset(
    "quick",
    network=replace(FILM_NETWORK, independent_noise=False),  # (ours)
    phases=phases(
        batch=(16, 16, 16, 16, 8, 8, 8),  # (ours)
        learning_rate=(0.002, 0.002, 0.002, 0.002, 0.0014, 0.0014, 0.0014),  # (ours)
        critic_learning_rate=(0.006, 0.006, 0.006, 0.006, 0.0042, 0.0042, 0.0042),  # (ours)
        fade_in_images=(0, 3_200, 4_000, 3_600, 1_000, 0, 0),  # windows do not fade in (ours)
        stable_images=(9_600, 9_600, 12_000, 10_800, 3_000, 1_200, 1_200),  # (ours)
        ticks=7 * (4,),  # (ours)
        ema_half_life_images=(480, 640, 800, 720, 290, 90, 90),  # (ours)
        steps_per_execution=(50, 50, 25, 10, 5, 5, 5),  # no influence on the result
        amplification=AMPLIFICATION,  # (ours)
    ),
    jitter=True,  # (ours)
    diversity=Diversity(weight=0.1, share=0.75),  # (ours)
    level_spectrum=True,  # (ours)
)

PRESETS = {"quick": QUICK, "film": FILM, "paper": PAPER}
