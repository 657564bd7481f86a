"""What a judged take is to the byte, for the tests that compare engines."""


def plain(judged):
    """All of it but what is measured of the machine: seconds and memory."""

    def content(array):
        return None if array is None else array.tobytes()

    rows = {
        name: (row.values, content(row.distance), content(row.seen), row.correction)
        for name, row in judged.rows.items()
    }
    cuts = {name: content(samples) for name, samples in judged.excerpts.items()}
    return judged.track_id, rows, judged.failed, content(judged.seen), cuts
