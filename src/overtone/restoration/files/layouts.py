"""Map channel layouts: every reader gives channels in the order of WAV's mask, every writer starts from it.

====== ============================ ===================================
count  WAV, FLAC, FFmpeg            Vorbis, Opus (Xiph)
====== ============================ ===================================
3      FL FR FC                     FL FC FR
5      FL FR FC BL BR               FL FC FR BL BR
6      FL FR FC LFE BL BR           FL FC FR BL BR LFE
7      FL FR FC LFE BC SL SR        FL FC FR SL SR BC LFE
8      FL FR FC LFE BL BR SL SR     FL FC FR SL SR BL BR LFE
====== ============================ ===================================

Sources: WAVEFORMATEXTENSIBLE; Vorbis I specification, 4.3.9; RFC 7845, 5.1.1.2; RFC 9639, 9.1.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

# Speakers by the bit of WAV's mask, by FFmpeg's names.
SPEAKERS = (
    *("FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR"),
    *("TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR"),
)
# What a number of channels means in FLAC, Vorbis and Opus, and in WAV without a mask.
USUAL = {1: 0x4, 2: 0x3, 3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}
NAMES = {
    **{0x4: "mono", 0x3: "stereo", 0x7: "3.0", 0xF: "3.1", 0x33: "quad", 0x603: "quad(side)", 0x37: "5.0"},
    **{0x3F: "5.1", 0x607: "5.0(side)", 0x60F: "5.1(side)", 0x70F: "6.1", 0x63F: "7.1", 0x103: "3.0(back)"},
    **{0xB: "2.1", 0x107: "4.0", 0x10F: "4.1"},
}
# Where each channel of WAV's order lies in Xiph's.
_XIPH = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 5, 3, 4),
    7: (0, 2, 1, 6, 5, 3, 4),
    8: (0, 2, 1, 7, 5, 6, 3, 4),
}


@dataclass(frozen=True)
class Layout:
    """Name the channels of a file.

    Attributes:
        mask: WAV's bits of speakers, in whose order the channels come; 0 if it is not known.
        ambisonic: whether they are components of a sound field (B format), not speakers.
    """

    mask: int = 0
    ambisonic: bool = False

    def __str__(self) -> str:
        if self.ambisonic:
            return "ambisonic"
        return NAMES.get(self.mask) or "+".join(
            name for bit, name in enumerate(SPEAKERS) if self.mask >> bit & 1
        )


def named(names: Sequence[str]) -> Layout:
    """Return the layout of speakers that FFmpeg names; unknown if it does not know one of them."""
    if not names or len({*names}) < len(names) or not {*names} <= {*SPEAKERS}:
        return Layout()
    return Layout(sum(1 << SPEAKERS.index(name) for name in names))


def wav_order(names: Sequence[str]) -> list[int] | None:
    """Return where each channel of WAV's order lies among named speakers; None if in that order."""
    if not named(names).mask:
        return None
    order = sorted(range(len(names)), key=lambda index: SPEAKERS.index(names[index]))
    return None if order == [*range(len(names))] else order


def from_xiph(channels: int) -> list[int] | None:
    """Return where each channel of WAV's order lies in Xiph's; None if the orders are the same."""
    return [*_XIPH[channels]] if channels in _XIPH else None


def to_xiph(channels: int) -> list[int] | None:
    """Return where each channel of Xiph's order lies in WAV's; None if the orders are the same."""
    order = from_xiph(channels)
    return order and [order.index(channel) for channel in range(channels)]


def is_usual(layout: Layout, channels: int) -> bool:
    """Return whether a layout is the usual one of its number of channels (side or back alike)."""
    if layout.ambisonic:
        return False
    return not layout.mask or _side_as_back(layout.mask) == _side_as_back(USUAL.get(channels, 0))


def _side_as_back(mask: int) -> int:
    side, back = 0x600, 0x30
    return mask & ~side | back if mask & side == side and not mask & back else mask
