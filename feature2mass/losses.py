"""The losses of Feature2Mass (Lee et al. 2018, eq. 3–5), from logits, term by term.

The equations are inconsistent as printed: eq. 3–4 are maximised, eq. 5 adds +λ₄·L1 and is minimised, and the bracket of
λ₃ closes before the shape's term. `1 − (m − D)` is only sensible as `1 − |m − D|`, which for a label of 0 or 1 leads to
binary cross-entropy. Read here as losses to minimise, means over the batch and the classes:

    L_D1 = bce(D₁ʳᶠ(I), 1) + bce(D₁ʳᶠ(I′), 0) + λ₁·[bce(D₁ᵐ(I), m) + bce(D₁ᵐ(I′), m)]      L_D2 likewise: s, λ₂
    L_G  = bce(D₁ʳᶠ(I′), 1) + bce(D₂ʳᶠ(I′), 1) + λ₃·[bce(D₁ᵐ(I′), m) + bce(D₂ˢ(I′), s)] + λ₄·mean|I − I′|
"""

from dataclasses import dataclass

from keras import ops

from training.losses import cross_entropy


@dataclass(frozen=True)
class LossWeights:
    """λ₁…λ₄; the defaults are those of the paper.

    Attributes:
        margin: λ₁, of the margin in D₁'s loss.
        shape: λ₂, of the shape in D₂'s loss.
        labels: λ₃, of both labels in the generator's loss.
        reconstruction: λ₄, of the mean absolute difference.
    """

    margin: float = 10.0
    shape: float = 10.0
    labels: float = 10.0
    reconstruction: float = 300.0


def discriminator_loss(real, fake, label, label_weight: float):
    """Compute L_D1 (eq. 3, margin) or L_D2 (eq. 4, shape).

    Args:
        real, fake: (real-or-fake logits (n, 1), label logits (n, classes)) of I and of I′.
        label: one-hot (n, classes), of I and so of I′.
        label_weight: λ₁ or λ₂.
    """
    verdict = cross_entropy(real[0], 1.0) + cross_entropy(fake[0], 0.0)
    return verdict + label_weight * (cross_entropy(real[1], label) + cross_entropy(fake[1], label))


def generator_terms(margin_verdict, shape_verdict, margin, shape) -> tuple:
    """Compute what D₁ and D₂ say of I′ in L_G (eq. 5): (real or fake, labels), each the sum over both, unweighted.

    Args:
        margin_verdict, shape_verdict: (real-or-fake logits, label logits) of D₁(I′) and D₂(I′).
        margin, shape: one-hot labels.
    """
    adversarial = cross_entropy(margin_verdict[0], 1.0) + cross_entropy(shape_verdict[0], 1.0)
    return adversarial, cross_entropy(margin_verdict[1], margin) + cross_entropy(shape_verdict[1], shape)


def reconstruction_term(images, reconstructions):
    """Compute mean|I − I′| over pixels and batch."""
    return ops.mean(ops.abs(ops.cast(images, reconstructions.dtype) - reconstructions))
