"""What was tried before a model was chosen is told with it."""

from auditkit.performance.training_search import search_section, search_table

TRIALS = [
    {"number": 0, "settings": {"learning_rate": 0.001}, "state": "complete", "value": 0.5, "epochs": 9},
    {"number": 1, "settings": {"learning_rate": 0.0123456}, "state": "complete", "value": 0.25, "epochs": 8},
    {"number": 2, "settings": {"learning_rate": 1.0}, "state": "pruned", "value": None, "epochs": 2},
]


class Evidence:
    def __init__(self, table):
        self._table = table

    def table(self, name):
        return self._table if name == "performance/search" else None


def test_the_trials_and_the_one_that_was_kept():
    table = search_table({"search": {"objective": "validation_loss", "best": 1, "trials": TRIALS}})
    section = search_section(Evidence(table))
    assert section.finding == "3 settings were tried; trial 2 was kept, with a validation loss of 0.250."
    assert section.table.column("how it ended").to_pylist() == ["complete", "kept", "pruned"]
    assert section.table.column("settings").to_pylist()[1] == "learning_rate 0.0123"
    assert section.table.column("validation loss").to_pylist()[2] == "–"


def test_a_model_that_was_not_searched_for_has_no_such_section():
    assert search_table({}) is None
    assert search_table({"search": {}}) is None
    assert search_section(Evidence(None)) is None
