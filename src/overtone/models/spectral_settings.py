"""Settings of the spectral network, for every library that runs it."""

from dataclasses import dataclass

from overtone.core.params import check

# Taps of a block's convolution over frames, and frames from one to the next, in turns.
KERNEL = 7
DILATIONS = (1, 2, 4)


@dataclass(frozen=True)
class SpectralSettings:
    """The group ``model.spectral`` of params.yaml.

    Attributes:
        features: of a frame.
        blocks: number of residual blocks.
        expansion: a block's inner width, as a multiple of ``features``.
        harmonics: power of the fine structure that is continued above the cutoff and multiplied with the
            magnitudes; 0 leaves them smooth.
    """

    features: int
    blocks: int
    expansion: int
    harmonics: float = 0.0

    def __post_init__(self) -> None:
        for key in ("features", "blocks", "expansion"):
            value = getattr(self, key)
            check(value >= 1, f"model.spectral.{key}", value, "a whole number, 1 or more")
        check(0 <= self.harmonics <= 1, "model.spectral.harmonics", self.harmonics, "a power, 0 to 1")

    @property
    def dilations(self) -> list[int]:
        """Frames from one tap of a block's convolution to the next, by block."""
        return [DILATIONS[number % len(DILATIONS)] for number in range(self.blocks)]

    @property
    def reaches(self) -> list[int]:
        """Frames on each side that a block's output frame depends on, by block."""
        return [KERNEL // 2 * dilation for dilation in self.dilations]
