"""The manifest: the same weights give the same file, and one changed bit gives another."""

import pytest

from app.errors import SetupError
from infra.weights.manifest import MANIFEST, WEIGHTS, read_manifest, tensor_hashes, weights_hash, write_manifest
from tests.infra.weights.tensors import tiny_llama, write


def directory(path, tensors):
    path.mkdir()
    write(path / WEIGHTS, tensors)
    (path / "tokenizer.json").write_text("{}")
    return path


def test_two_directories_with_the_same_content_get_equal_manifests(tmp_path):
    first, second = (directory(tmp_path / name, tiny_llama(1)) for name in ("a", "b"))
    write_manifest(first, "tiny", {"from": "a test"})
    write_manifest(second, "tiny", {"from": "a test"})
    assert (first / MANIFEST).read_bytes() == (second / MANIFEST).read_bytes()


def test_the_order_of_tensors_in_the_file_does_not_matter(tmp_path):
    tensors = tiny_llama(1)
    write(tmp_path / "a", tensors)
    write(tmp_path / "b", dict(reversed(tensors.items())))
    assert weights_hash(tensor_hashes(tmp_path / "a")) == weights_hash(tensor_hashes(tmp_path / "b"))


def test_one_changed_value_changes_only_its_tensors_hash(tmp_path):
    tensors = tiny_llama(1)
    write(tmp_path / "a", tensors)
    tensors["model.norm.weight"][1][5] += 1.0
    write(tmp_path / "b", tensors)
    before, after = tensor_hashes(tmp_path / "a"), tensor_hashes(tmp_path / "b")
    assert {name for name in before if before[name] != after[name]} == {"model.norm.weight"}


def test_the_same_bytes_in_another_shape_are_another_tensor(tmp_path):
    write(tmp_path / "a", {"x": ([2, 3], [0.0] * 6)})
    write(tmp_path / "b", {"x": ([3, 2], [0.0] * 6)})
    assert tensor_hashes(tmp_path / "a") != tensor_hashes(tmp_path / "b")


def test_a_directory_without_a_manifest_is_incomplete(tmp_path):
    assert read_manifest(directory(tmp_path / "a", tiny_llama(1))) is None


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x08\0\0\0\0\0\0\0nonsense"])
def test_a_file_that_holds_no_tensors_is_a_setup_error(tmp_path, content):
    (tmp_path / WEIGHTS).write_bytes(content)
    with pytest.raises(SetupError, match="cannot be read"):
        tensor_hashes(tmp_path / WEIGHTS)


def test_a_file_that_was_cut_short_is_a_setup_error(tmp_path):
    write(tmp_path / WEIGHTS, tiny_llama(1))
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:-10])
    with pytest.raises(SetupError, match="cut short"):
        tensor_hashes(tmp_path / WEIGHTS)


def test_a_broken_manifest_says_what_to_delete(tmp_path):
    (tmp_path / MANIFEST).write_text('{"name": 3')
    with pytest.raises(SetupError) as error:
        read_manifest(tmp_path)
    assert str(tmp_path) in error.value.hint
