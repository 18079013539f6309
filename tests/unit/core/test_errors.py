import errno

import pytest

from petseg.core.errors import PetsegError, explain, first_line, translate


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x"), "The disk is full at x; free some space, then run dvc repro again."),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "The disk is full; free some space, then run dvc repro again."),
        (PermissionError(errno.EACCES, "Permission denied", "x"), "Access denied at x (Permission denied); change the permissions, then run dvc repro again."),
        (FileExistsError(errno.EEXIST, "File exists", "x"), "A file or folder is in the way at x (File exists); move it, then run dvc repro again."),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "x"), "A file has disappeared at x (No such file or directory); run dvc repro again."),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x"), "The file name is too long for this disk at x; use a shorter name."),
        (OSError(errno.EFBIG, "File too large", "x"), "The file at x is larger than the file system or ulimit -f allows; raise the limit or use another disk, then run dvc repro again."),
        (OSError(errno.EIO, "Input/output error", "x"), "The disk failed at x (input/output error); check the disk, then run dvc repro again."),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files; raise ulimit -n or lower preprocess.shards, then run dvc repro again."),
        (MemoryError(), "Out of memory (MemoryError); lower the stage's batch_size or preprocess.image_size."),
        (ModuleNotFoundError("a message", name="dvc.repo"), "dvc repro needs dvc.repo, which isn't installed; run pip install 'petseg[train]'."),
    ],
)  # fmt: skip
def test_machine_failures_are_explained(error, message):
    assert explain(error) == message


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        KeyError("a bug"),
        OSError(errno.EPIPE, "Broken pipe"),
        ImportError("a bug", name="numpy"),
        ModuleNotFoundError("a bug", name="petseg.photo"),
    ],
    ids=repr,
)
def test_bugs_are_not_explained_away(error):
    assert explain(error) is None


def test_the_hints_match_the_command():
    full = explain(OSError(errno.ENOSPC, "No space left on device"), command="petseg predict")
    assert full.endswith("then run petseg predict again.")
    assert explain(MemoryError(), memory_hint="close other programs").endswith(
        "; close other programs."
    )


def test_translated_errors_keep_their_cause():
    cause = KeyError("x")
    with pytest.raises(PetsegError, match="no x") as caught, translate(lambda _: "no x", KeyError):
        raise cause
    assert caught.value.__cause__ is cause


def test_errors_that_are_not_translated_pass_through():
    with pytest.raises(ValueError, match=r"^other$"), translate(lambda _: "no", KeyError):
        raise ValueError("other")
    with pytest.raises(ValueError, match=r"^other$"), translate(lambda _: None):
        raise ValueError("other")
    with pytest.raises(PetsegError, match=r"^mine$"), translate(lambda _: "another"):
        raise PetsegError("mine")


def test_the_first_line_of_a_tensorflow_error_has_no_wrapping():
    assert (
        first_line(ValueError("{{function_node f}} a label is out of range [Op:X]"))
        == "a label is out of range"
    )
    assert first_line(ValueError("one.\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"
