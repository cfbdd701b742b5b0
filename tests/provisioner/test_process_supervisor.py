"""The log of an agent whose disk is full."""

import resource

import pytest

from services.provisioner.backends.process_supervisor import RotatingLogFile


@pytest.fixture
def file_size_limit():
    """Return a function that limits the size of files; a write beyond the limit fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.covers("OPS-10")
def test_output_that_a_full_disk_lost_is_told_in_one_line_once_the_log_works_again(tmp_path, file_size_limit):
    path = tmp_path / "agent.log"
    log = RotatingLogFile(str(path))
    log.write(b"first\n")

    file_size_limit(6)
    for _ in range(100):
        log.write(b"lost!\n")
    file_size_limit(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    log.write(b"second\n")
    log.write(b"third\n")

    assert path.read_text() == (
        "first\n\nmolecule: 600 bytes of output were lost here: File too large\nsecond\nthird\n"
    )


@pytest.mark.covers("OPS-10")
def test_half_a_chunk_that_fits_is_kept(tmp_path, file_size_limit):
    path = tmp_path / "agent.log"
    log = RotatingLogFile(str(path))

    file_size_limit(4)
    log.write(b"halfrest")

    assert path.read_bytes() == b"half"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
