"""Run the spectral network on the processor without PyTorch: its learned layers by ONNX Runtime.

What lies around the layers is `overtone.models.spectral_bands`, in NumPy. `overtone export --layers` writes
the graphs; their weights are those of the model's own file, by name.
"""

import functools
from pathlib import Path

import numpy as np
import onnxruntime

from overtone.core.arrays import hann_window
from overtone.models.processor import fast_in_int8, thread_count
from overtone.models.saved import SavedModel, split_side
from overtone.models.spectral_bands import Levels, first_bin
from overtone.models.spectral_frames import N_FFT
from overtone.models.spectral_settings import SpectralSettings
from overtone.models.spectral_stream import SpectralStream

# The files of the graphs, by whether the blocks' matrices are 8-bit integers.
GRAPHS = {False: "layers.onnx", True: "layers.int8.onnx"}

# Steps of an 8-bit weight up and down. With 127 the added band differs as much (-49 to -53 dB, three tracks,
# mid and side). With 63 two products add up in 16 bits, as processors without VNNI do it.
STEPS = 63


class OnnxSpectral:
    """A spectral network that restores streams on the processor.

    Args:
        settings: of the network.
        weights: by name, float32.
        graph: the file that `overtone export --layers` wrote.

    Attributes:
        side: the network for the side of stereo, or None.
    """

    on_processor = True

    def __init__(self, settings: SpectralSettings, weights: dict[str, np.ndarray], graph: Path) -> None:
        self._settings, self._graph = settings, graph
        self._weights = weights
        self._session = functools.cache(self._open_session)
        self.side: OnnxSpectral | None = None

    @property
    def threads(self) -> int:
        """Threads that its streams may use together."""
        return thread_count()

    def stream(self, cutoff: float, threads: int = 1) -> SpectralStream:
        """Open the stream of one signal, as `overtone.models.network.Network` says."""
        layers = SessionLayers(self._session(threads), self._settings)
        first = first_bin(np.array([cutoff], np.float32))
        return SpectralStream(layers, hann_window(N_FFT), first, self._settings.harmonics)

    def _open_session(self, threads: int) -> onnxruntime.InferenceSession:
        """Load the graph with its weights, for so many threads."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads that wait give way to those that decode and encode.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(value) for value in self._weights.values()]
        options.add_external_initializers(list(self._weights), values)
        return onnxruntime.InferenceSession(self._graph, options, providers=["CPUExecutionProvider"])


def open_network(saved: SavedModel, folder: Path, eight_bits: bool | None = None) -> OnnxSpectral:
    """Open a saved spectral network with the graphs in a folder.

    Args:
        saved: the model.
        folder: with the files that `overtone export --layers` wrote.
        eight_bits: whether the blocks' matrices are 8-bit integers; by default where the processor is fast in
            them.
    """
    settings = SpectralSettings(**saved.settings)
    eight_bits = fast_in_int8() if eight_bits is None else eight_bits
    mid, side = split_side({name: value.astype(np.float32) for name, value in saved.weights.items()})
    quantized = quantize(mid, settings.blocks) if eight_bits else mid
    net = OnnxSpectral(settings, quantized, folder / GRAPHS[eight_bits])
    if side:
        net.side = OnnxSpectral(settings, quantized | side, folder / GRAPHS[eight_bits])
    return net


def quantize(weights: dict[str, np.ndarray], blocks: int) -> dict[str, np.ndarray]:
    """Replace the matrices of all blocks by integers of 8 bits and a scale for each output."""
    quantized = dict(weights)
    for number in range(blocks):
        for layer in ("wide", "narrow"):
            name = f"blocks.{number}.{layer}.weight"
            matrix = quantized.pop(name).T
            scale = np.maximum(np.abs(matrix).max(axis=0), np.finfo(np.float32).tiny) / STEPS
            quantized[f"{name}.steps"] = np.rint(matrix / scale).astype(np.int8, order="C")
            quantized[f"{name}.scale"] = scale
    return quantized


class SessionLayers:
    """The learned layers of one signal, as `overtone.models.spectral_stream.Layers` says.

    The graph's inputs are the levels, the lowest bin, 1 at the end and else 0, and of every block the frames
    that it keeps; its outputs are the change and what every block keeps next.

    Args:
        session: of the graph.
        settings: of the network.
    """

    def __init__(self, session: onnxruntime.InferenceSession, settings: SpectralSettings) -> None:
        self._session = session
        self.reach = sum(settings.reaches)
        # Silence before the start.
        self._before = [np.zeros((1, reach, settings.features), np.float32) for reach in settings.reaches]

    def __call__(self, levels: Levels, lowest: int, last: bool) -> np.ndarray:
        """Take the levels of the next frames; return the change of those that are ready."""
        inputs = levels._asdict() | {"lowest": np.array([lowest]), "last": np.array([int(last)])}
        inputs |= {f"before.{number}": frames for number, frames in enumerate(self._before)}
        change: np.ndarray
        change, *self._before = self._session.run(None, inputs)
        return change
