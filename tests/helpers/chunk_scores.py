"""Chunk scores as plain values, for tests that compare engines of parallel work."""


def plain(chunk):
    """List every field of chunk scores, arrays as bytes, except time and memory, which vary."""

    def content(array):
        return None if array is None else array.tobytes()

    outputs = {
        name: (output.scores, content(output.distance), content(output.features), output.correction)
        for name, output in chunk.outputs.items()
    }
    excerpts = {name: content(samples) for name, samples in chunk.excerpts.items()}
    return chunk.track_id, outputs, chunk.failed, content(chunk.features), excerpts
