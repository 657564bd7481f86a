"""The table of systems, with the samples of every row."""

from overtone.core.errors import OvertoneError
from overtone.evaluation.comparison import named_systems, systems
from overtone.evaluation.comparison.aggregate import Results
from overtone.evaluation.comparison.score_chunk import ChunkScores
from tests.helpers.sound import CUTOFF, RATE


class Table:
    """The samples of every row by chunk, and its entry in the costs file."""

    def __init__(self, names, chunks, folder, cutoff=CUTOFF):
        prepared = named_systems.prepare(names, lambda: iter(chunks), cutoff, RATE, folder)
        results = Results(prepared, RATE, cutoff)
        self.samples = {}
        for number, chunk in enumerate(chunks):
            outputs, failed = {}, {}
            for system in prepared.systems:
                try:
                    for output in systems.run_system(system, chunk, cutoff, RATE, "cpu"):
                        outputs[output.row] = output._replace(samples=systems.NOTHING)
                        self.samples[output.row, number] = output.samples
                except OvertoneError as error:
                    failed[system.name] = str(error)
            results.add(ChunkScores(chunk.track_id, 1, 16000.0, outputs, failed, None, {}))
        self.names = list(results.rows())
        self.failed = results.failed
        self.costs = results.costs()

    def __getitem__(self, row):
        return self.samples[row, 0]
