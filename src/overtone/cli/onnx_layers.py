"""Write the learned layers of the spectral network as an ONNX graph, which restoring runs without PyTorch.

`overtone.models.spectral_onnx` runs it, and names its inputs and outputs. The file has no weights: those are
taken out of the model's own file by their names, so that they are shipped once.
"""

from pathlib import Path
from typing import Any

import numpy as np

from overtone.core.atomic import replacing
from overtone.core.errors import need
from overtone.models.spectral_frames import BINS
from overtone.models.spectral_settings import KERNEL, SpectralSettings

# The first one with Gelu.
OPSET = 20


class GraphWriter:
    """Collects the nodes of a graph: ``writer("Add", a, b)`` adds one and returns its output's name."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one output."""
        return self.several(1, operator, *inputs, **attributes)[0]

    def several(self, outputs: int, operator: str, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node of several outputs."""
        from onnx import helper

        names = [f"{operator}_{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names

    def output(self, name: str, value: str) -> None:
        """Give a value the name of an output."""
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [value], [name]))

    def integers(self, *values: int) -> str:
        """Add a constant."""
        from onnx import numpy_helper

        name = f"integers_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def weight(self, name: str, *shape: int, kind: str = "FLOAT") -> str:
        """Name a weight of the model, whose values are not in the file."""
        from onnx import TensorProto

        weight = TensorProto(name=name, dims=shape, data_type=TensorProto.DataType.Value(kind))
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value="weights.safetensors")
        self.initializers.append(weight)
        return name


class LayerWriter:
    """Writes the graph of one network.

    Args:
        settings: of the network.
        eight_bits: whether the blocks' matrices and what they are multiplied with are 8-bit integers.
    """

    def __init__(self, settings: SpectralSettings, eight_bits: bool) -> None:
        self._settings, self._eight_bits = settings, eight_bits
        self._writer = GraphWriter()

    def model(self) -> Any:
        """Return the graph as an `onnx.ModelProto`; its inputs and outputs are as `SessionLayers` says."""
        from onnx import TensorProto, helper

        write, features, blocks = self._writer, self._settings.features, range(self._settings.blocks)
        x = self._embed()
        for number in blocks:
            x = self._block(number, x)
        write.output("change", self._change(x))
        free, real, whole = None, TensorProto.FLOAT, TensorProto.INT64
        inputs: list[Any] = [
            ("relative", real, [1, free, free]),
            ("inside", real, [1, 1, free]),
            ("octave", real, [1, free, 1]),
            ("lowest", whole, [1]),
            ("last", whole, [1]),
            *((f"before.{number}", real, [1, free, features]) for number in blocks),
        ]
        outputs: list[Any] = [("change", real, [1, free, free])]
        outputs += [(f"after.{number}", real, [1, free, features]) for number in blocks]
        graph = helper.make_graph(
            write.nodes,
            "layers",
            [helper.make_tensor_value_info(*value) for value in inputs],
            [helper.make_tensor_value_info(*value) for value in outputs],
            write.initializers,
        )
        # The oldest version of the file's format that has the operators.
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)

    def _embed(self) -> str:
        """Compute the blocks' input, as `Spectral.embed` does."""
        write, features = self._writer, self._settings.features
        shape = write("Shape", "relative")
        bins = write("Slice", shape, write.integers(2), write.integers(3))

        def linear(value: str, name: str) -> str:
            weight = write("Transpose", write.weight(f"{name}.weight", features, BINS), perm=[1, 0])
            below = write("Slice", weight, write.integers(0), bins, write.integers(0))
            return write("MatMul", value, below)

        x = write("Add", linear("relative", "enter"), write.weight("enter.bias", features))
        loudness = write("Transpose", write.weight("loudness.weight", features, 1), perm=[1, 0])
        level = write("Mul", "octave", loudness)
        return write("Add", x, write("Add", linear("inside", "where"), level))

    def _block(self, number: int, x: str) -> str:
        """Run a residual block over its frames and those that it keeps, as `Block` and `BlockStream` do."""
        write, features = self._writer, self._settings.features
        dilation, reach = self._settings.dilations[number], self._settings.reaches[number]
        x = write("Concat", f"before.{number}", x, axis=1)
        # Silence after the end.
        pads = write("Mul", "last", write.integers(0, 0, 0, 0, reach, 0))
        x = write("Pad", x, pads)
        end, axis = write.integers(np.iinfo(np.int64).max), write.integers(1)
        write.output(f"after.{number}", write("Slice", x, write.integers(-2 * reach), end, axis))

        def shifted(tap: int) -> str:
            last = (KERNEL - 1 - tap) * dilation
            start = write.integers(tap * dilation)
            return write("Slice", x, start, write.integers(-last) if last else end, axis)

        name = f"blocks.{number}"
        taps = write("Transpose", write.weight(f"{name}.mix.weight", features, 1, KERNEL), perm=[2, 1, 0])
        y = write.weight(f"{name}.mix.bias", features)
        for tap in range(KERNEL):
            weight = write("Gather", taps, write.integers(tap), axis=0)
            y = write("Add", y, write("Mul", shifted(tap), weight))
        y = self._norm(y, f"{name}.norm")
        wide = self._settings.expansion * features
        y = write("Gelu", self._linear(y, f"{name}.wide", features, wide))
        y = self._linear(y, f"{name}.narrow", wide, features)
        y = write("Mul", y, write.weight(f"{name}.scale", features))
        return write("Add", shifted(KERNEL // 2), y)

    def _change(self, x: str) -> str:
        """Compute the change of magnitudes, as `Spectral.change` does."""
        write, features = self._writer, self._settings.features
        end, axis = write.integers(BINS), write.integers(0)
        weight = write("Slice", write.weight("leave.weight", BINS, features), "lowest", end, axis)
        bias = write("Slice", write.weight("leave.bias", BINS), "lowest", end, axis)
        x = self._norm(x, "norm")
        return write("Add", write("MatMul", x, write("Transpose", weight, perm=[1, 0])), bias)

    def _norm(self, x: str, name: str) -> str:
        write, features = self._writer, self._settings.features
        weights = (write.weight(f"{name}.{part}", features) for part in ("weight", "bias"))
        return write("LayerNormalization", x, *weights, axis=-1, epsilon=1e-5)

    def _linear(self, x: str, name: str, inside: int, outside: int) -> str:
        """Multiply by a matrix and add a bias."""
        write = self._writer
        bias = write.weight(f"{name}.bias", outside)
        if not self._eight_bits:
            matrix = write("Transpose", write.weight(f"{name}.weight", outside, inside), perm=[1, 0])
            return write("Add", write("MatMul", x, matrix), bias)
        steps, scale, zero = write.several(3, "DynamicQuantizeLinear", x)
        matrix = write.weight(f"{name}.weight.steps", inside, outside, kind="INT8")
        product = write("Cast", write("MatMulInteger", steps, matrix, zero), to=1)
        scales = write("Mul", scale, write.weight(f"{name}.weight.scale", outside))
        return write("Add", write("Mul", product, scales), bias)


def export_layers(settings: SpectralSettings, path: Path, eight_bits: bool) -> None:
    """Write the graph of a network's learned layers.

    Args:
        settings: of the network.
        path: the file; it is replaced if it is there.
        eight_bits: whether the blocks' matrices are 8-bit integers.

    Raises:
        OvertoneError: ONNX is not installed.
    """
    need("export", "onnx")
    content = LayerWriter(settings, eight_bits).model().SerializeToString(deterministic=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
