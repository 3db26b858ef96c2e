"""The serving bench: frozen traces, a reference that agrees with the rule without sharing its code, figures out of what programs write."""

import json
import sys
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.memento.grammar import TokenIds
from app.memento.visibility import Policy, evict_after, visible
from infra.bench import serving
from infra.bench.serving_program import Programs, Running
from infra.serving.keepsake_vllm.bench.reference import PLAIN, derive
from infra.serving.keepsake_vllm.bench.traces import TOKENS, Load, Writer, noise
from tests.infra.serving_environment import interpreter

IDS = TokenIds(*TOKENS)
SPEAK = noise(20, 400)
STREAMS = st.lists(st.sampled_from([*TOKENS, 11, 12]), max_size=50)
POLICIES = st.builds(Policy, keep_delimiters=st.booleans(), keep_last_n=st.integers(0, 2), summary_end_sees_block=st.booleans())


class TestTraces:
    def test_the_bench_and_the_product_mean_the_same_tokens(self):
        assert serving.IDS == IDS

    def test_a_seed_always_gives_the_same_requests(self):
        load = Load(requests=4, tokens=300, block=64, memento=16, rate=2.0, seed=3)
        assert load.traces(SPEAK) == load.traces(SPEAK)
        assert load.traces(SPEAK) != Load(requests=4, tokens=300, block=64, memento=16, rate=2.0, seed=4).traces(SPEAK)

    def test_sizes_are_as_asked_and_arrivals_in_order(self):
        traces = Load(requests=5, tokens=300, block=64, memento=16, rate=2.0).traces(SPEAK)
        assert [(len(trace.prompt), len(trace.script)) for trace in traces] == [(32, 300)] * 5
        assert [trace.arrival for trace in traces] == sorted(trace.arrival for trace in traces) and traces[0].arrival == 0
        assert all(trace.arrival == 0 for trace in Load(requests=5, tokens=10).traces(SPEAK))

    def test_blocks_have_their_size_and_a_load_without_blocks_has_no_memento_token(self):
        script = Writer(SPEAK, "a").thought((64, 16), (64, 16), then=7)
        assert len(script) == 167
        assert [script.index(token) for token in TOKENS] == [0, 63, 64, 79]
        plain = Load(requests=2, tokens=200).traces(SPEAK)
        assert not set(TOKENS) & {token for trace in plain for token in trace.script}

    def test_a_text_says_again_what_it_said(self):
        text = Writer(SPEAK, "a").text(400)
        pairs = list(pairwise(text))
        assert len(set(pairs)) < 0.75 * len(pairs)


class TestReference:
    @given(STREAMS, POLICIES)
    @example([7, 11, 12, 9, 11, 10, 11], Policy(keep_delimiters=True))  # no block_end: there is one delimiter to keep, not two
    def test_its_mask_is_the_rule(self, tokens, policy):
        mask, after = derive(tokens, vars(policy)), evict_after(tokens, IDS, policy)
        size = range(len(tokens))
        assert [[not mask.hides(q, k) for k in size] for q in size] == [[visible(q, k, after) for k in size] for q in size]

    @given(STREAMS, st.booleans())
    def test_so_it_is_in_restart(self, tokens, keep_delimiters):
        policy = Policy(keep_delimiters=keep_delimiters, restart=True)
        mask, after = derive(tokens, vars(policy)), evict_after(tokens, IDS, policy)
        size = range(len(tokens))
        assert [[not mask.hides(q, k) for k in size] for q in size] == [[visible(q, k, after) for k in size] for q in size]

    def test_a_plain_mask_hides_the_future_only(self):
        tokens = Writer(SPEAK, "a").thought((20, 6), then=3)
        mask = derive(tokens, PLAIN)
        assert all(mask.hides(q, k) == (k > q) for q in range(len(tokens)) for k in range(len(tokens)))

    def test_rows_that_a_restart_computes_twice_are_not_judged(self):
        tokens = [11, *Writer(SPEAK, "a").thought((20, 6), then=3)]
        rewritten = derive(tokens, {"restart": True}).rewritten
        assert [at for at, again in enumerate(rewritten) if again] == [21, 22, 23, 24, 25]


class TestFigures:
    def test_exactness_takes_the_worst_and_the_gap_that_shows_least(self):
        compared = [
            {"regime": "decode", "positions": 10, "max": 2e-5, "mean": 1e-5, "agree": 10, "plain": 9.0},
            {"regime": "decode", "positions": 10, "max": 4e-5, "mean": 1e-5, "agree": 9, "plain": 3.0},
            {"regime": "turn", "positions": 20, "max": 1e-5, "mean": 2e-5, "agree": 20, "plain": 5.0},
            {"regime": "off", "positions": 10, "max": 3e-5, "mean": 1e-5, "agree": 10},
        ]
        records = [
            {"second_turn": {"new": 17, "computed": 20, "earlier": 300}},
            {"second_turn": {"new": 17, "computed": 40, "earlier": 320}},
            {"totals": "decode", "compactions": 5, "replays": 2, "copied_pages": 1},
        ]
        figures = serving.exact_figures(records, compared)
        assert (figures["max_dlogprob"].value, figures["max_dlogprob"].n) == (4e-5, 50)
        assert figures["max_dlogprob_turn"].value == 1e-5
        assert figures["top1"].value == 0.98
        assert figures["wrong_mask_gap"].value == 5.0
        assert figures["second_turn_extra"].value == 23
        assert (figures["compactions"].value, figures["replays"].value) == (5, 2)

    def test_load_compares_with_the_ideal_of_its_own_schedule_and_leaves_the_warm_up_out(self):
        tokens = [11] * 4 + [7, *[12] * 60, 8, 9, 13, 10] + [11] * 40
        schedule = [{"warm": [0, 3]}, {"a": [0, 40]}, {"a": [40, 29]}, {"a": [69, 39]}]
        steps = [{"scheduled": step, "pages_used": used} for step, used in zip(schedule, [9, 2, 4, 2], strict=True)]
        on = {"tokens": 100, "seconds": 10.0, "answers": [8.0, 10.0], "streams": {"a": [40, tokens]}}
        off = {"tokens": 100, "seconds": 25.0, "answers": [20.0, 25.0], "streams": {}}
        compactions = [{"compactions": 2, "us": 300.0}, {"compactions": 0, "us": 0.0}, {"compactions": 1, "us": 170.0}]
        figures = serving.load_figures(on, off, steps, compactions)
        assert (figures["peak_of_ideal"].value, figures["peak_pages"].value) == (0.75, 4)
        assert figures["throughput_tight"].value == 2.5
        assert (figures["seconds_per_answer_tight"].value, figures["seconds_per_answer_tight_off"].value) == (9.0, 22.5)
        assert figures["compaction_us"].value == 160.0

    def test_plenty_is_a_median_over_pairs(self):
        assert serving.plenty_figures([1.0, 2.0, 4.0], [1.0, 1.9, 8.0])["throughput_plenty"].value == 1.0

    def test_leaks_are_counted_over_all_requests(self):
        result = {"leaked": 3, "finished": 60, "aborted": 40, "wrong": 0, "compactions": 9, "replays": 1}
        figures = serving.aborts_figures(result)
        assert (figures["pages_leaked"].value, figures["pages_leaked"].n, figures["aborted"].value) == (3, 100, 0.4)


class TestPrograms:
    """Against a stand-in for the serving environment's interpreter."""

    @pytest.fixture
    def programs(self, tmp_path):
        def make(code: str) -> Programs:
            program = tmp_path / "program.py"
            program.write_text(f"#!{sys.executable}\nimport json, os, sys, time\nout = sys.argv[sys.argv.index('--out') + 1]\n{code}")
            program.chmod(0o755)
            return Programs(program, tmp_path, tmp_path / "weights")

        return make

    def test_lines_come_back_and_off_means_that_no_plugin_of_ours_is_named(self, programs):
        made = programs("open(out, 'w').write(json.dumps({'plugins': os.environ.get('VLLM_PLUGINS'), 'argv': sys.argv[1:]}) + '\\n')")
        (on,), (off,) = made.run("load", "on", load={"requests": 2}), made.run("load", "off", plugin=False, load={"requests": 2})
        assert (on["plugins"], off["plugins"]) == (None, "none_of_keepsake")
        assert json.loads(on["argv"][on["argv"].index("--load") + 1]) == {"requests": 2}

    def test_a_program_that_dies_is_a_typed_error_with_the_end_of_its_log(self, programs):
        with pytest.raises(serving.ModelUnavailable, match="RuntimeError: no engine"):
            programs("raise RuntimeError('no engine')").run("load", "on")

    def test_a_halted_program_goes_on_when_told(self, programs):
        code = "stream = open(out, 'w', buffering=1)\nstream.write('{}\\n')\nfor line in sys.stdin: stream.write(json.dumps(int(line)) + '\\n')"
        with Running(programs(code), "rounds", "on", True, {}) as running:
            running.wait_lines(1, 30)
            running.pause()
            running.tell("7")
            assert len(running.lines()) == 1
            running.resume()
            assert running.wait_lines(2, 30)[1] == 7
        assert running.process.returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_random_requests_with_aborts_leave_no_page_behind(tmp_path):
    """A real engine with a tiny random model: half a minute, most of it the start."""
    (result,) = Programs(interpreter(), tmp_path, tmp_path).run("aborts", "aborts", requests=80)
    assert result["leaked"] == 0 and result["wrong"] == 0
    assert result["aborted"] > 10 and result["finished"] > 10 and result["compactions"] > 10
