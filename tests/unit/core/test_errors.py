import errno

from petseg.core.errors import explain


def test_faults_of_the_machine_are_explained_and_bugs_are_not():
    assert explain(ValueError("a bug")) is None
    assert explain(KeyError("a bug")) is None
    assert explain(OSError(errno.EPIPE, "Broken pipe")) is None
    out_of_memory = explain(MemoryError())
    assert out_of_memory.startswith("Out of memory (MemoryError); lower the stage's batch_size")
    broken_disk = explain(OSError(errno.EIO, "Input/output error", "x"))
    assert broken_disk.startswith("The disk failed at x")
