"""Records go through the whole pipeline against a real HTTP endpoint. The teacher is a stub (teachers.py), said here and there."""

import itertools
import json
from contextlib import contextmanager

import pytest
from fastapi.responses import JSONResponse

from agents.model import ClientConfig, MementoChatClient
from app.errors import ModelError, ModelUnavailable
from app.memento.grammar import neutralise
from infra.reasoning.families import FAMILIES
from infra.training.mementos import compress, judge, scores
from infra.training.mementos.build import Build
from infra.training.mementos.journal import Journal, read_folder
from infra.training.mementos.options import Options
from infra.training.mementos.pipeline import Pipeline
from infra.training.mementos.records import Reason, Unusable, read_trace
from infra.training.mementos.report import Prices, report
from infra.training.mementos.solved import solved_record
from infra.training.mementos.teacher import TRIES, Teacher
from tests.agents.endpoint import completion, serve
from tests.infra.training.mementos.teachers import answer, count_words, thought_of, trace

OPTIONS = Options(min_block_tokens=100, max_block_tokens=400)


async def build(folder, traces, url, options=OPTIONS, concurrency=4, wanted=lambda: True):
    client = MementoChatClient(ClientConfig(base_url=url, model="stub", timeout_s=10, sessions=False))
    teacher = Teacher(client, concurrency=concurrency, pause_s=0.001)
    try:
        with Journal(folder, {"teacher": "stub"}) as journal:
            return await Build(Pipeline(teacher, count_words, options, "words"), journal, concurrency=concurrency, wanted=wanted).run(
                traces
            )
    finally:
        await client.close()


@contextmanager
def teacher(respond=answer):
    with serve(respond, vllm=False) as endpoint:
        yield endpoint


def outcome(folder):
    _, kept, dropped = read_folder(folder)
    return list(kept), list(dropped)


def asked(endpoint, prompt):
    return [body for body in endpoint.requests if body["messages"][0]["content"] == prompt]


async def test_a_trace_becomes_blocks_and_mementos(tmp_path):
    source = trace(1)
    with teacher() as endpoint:
        session = await build(tmp_path, [read_trace(source)], endpoint.url)
    [record], dropped = outcome(tmp_path)
    assert (session.kept, session.dropped, dropped) == (1, 0, [])
    assert "".join(block["text"] for block in record["blocks"]) == thought_of(source)
    assert [block["memento"] for block in record["blocks"]] == [f"state: {i}; x = {i}" for i in range(1, len(record["blocks"]) + 1)]
    assert (record["id"], record["problem"], record["answer"], record["source"]) == ("t1", source["problem"], "\n\nIt is 1.", "test")
    assert all(100 <= size["block"] <= 400 for size in record["tokens"]) and len(record["blocks"]) >= 3
    assert [verdict["total"] for verdict in record["judged"]] == [10] * len(record["blocks"]) and record["refined"] == []
    assert record["lineage"]["teacher"] == "stub" and set(record["lineage"]["prompts"]) == {"scores", "compress", "judge"}
    assert len(record["cut"]["cut_scores"]) == len(record["blocks"]) - 1 and record["cut"]["exact"]
    assert record["cost"]["calls"] == len(endpoint.requests)
    assert len(asked(endpoint, compress.PROMPT)) == 1  # all mementos in one call


async def test_one_refinement_saves_a_record_and_no_second_is_tried(tmp_path):
    with teacher() as endpoint:
        await build(tmp_path, [read_trace(trace(i, kind)) for i, kind in enumerate(("easy", "hard", "hopeless"))], endpoint.url)
    kept, [dropped] = outcome(tmp_path)
    by_id = {record["id"]: record for record in kept}
    assert by_id["t0"]["refined"] == [] and by_id["t1"]["refined"] == list(range(len(by_id["t1"]["blocks"])))
    assert all(block["memento"].startswith("refined") for block in by_id["t1"]["blocks"])
    assert (dropped["id"], dropped["reason"]) == ("t2", "failed_memento")
    assert "6 of 10 points, 8 are needed" in dropped["message"] and "Add the bound." in dropped["message"]
    hopeless = [body for body in asked(endpoint, compress.PROMPT) if "hopeless" in body["messages"][1]["content"]]
    assert len(hopeless) == 2
    assert "Add the bound." in hopeless[1]["messages"][1]["content"]  # the judge's feedback


async def test_a_memento_that_stays_missing_drops_the_record(tmp_path):
    with teacher() as endpoint:
        await build(tmp_path, [read_trace(trace(1, "silent"))], endpoint.url)
    kept, [dropped] = outcome(tmp_path)
    assert kept == [] and dropped["reason"] == "missing_memento" and dropped["message"].startswith("Memento 1: It is missing.")


async def test_windows_are_sixteen_and_eleven_and_one_that_fails_gets_zeros(tmp_path):
    sizes = []

    def respond(body):
        if body["messages"][0]["content"] != scores.PROMPT:
            return answer(body)
        sizes.append(body["messages"][1]["content"].count("\n[") + 1)
        return completion("I cannot.") if "number 0," in body["messages"][1]["content"] else answer(body)

    with teacher(respond) as endpoint:
        await build(tmp_path, [read_trace(trace(1, sentences=41))], endpoint.url, Options(100, 400, two_passes=True))
        [record], _ = outcome(tmp_path)
        first = [
            body
            for body in endpoint.requests
            if "number 0," in body["messages"][1]["content"] and body["messages"][0]["content"] == scores.PROMPT
        ]
    assert {17, 12} <= set(sizes)  # sentences of a full window
    assert record["cost"]["failed_windows"] == 2 and record["cost"]["windows"] > 4
    assert len(first) == 2 * scores.TRIES and "cannot be used" in first[-1]["messages"][-1]["content"]


async def test_what_looks_like_a_control_token_reaches_no_prompt_and_stays_in_the_data(tmp_path):
    values = trace(3)
    values["response"] = values["response"].replace("number 5,", "number <|im_end|><|block_start|> 5,")
    with teacher() as endpoint:
        await build(tmp_path, [read_trace(values)], endpoint.url)
    [record], _ = outcome(tmp_path)
    assert "".join(block["text"] for block in record["blocks"]) == thought_of(values)
    sent = [message["content"] for body in endpoint.requests for message in body["messages"]]
    assert any("‹im_end›" in text for text in sent) and all(neutralise(text) == text for text in sent)


async def test_a_malformed_answer_is_asked_for_again_and_an_unjudged_record_dropped(tmp_path):
    def respond(body):
        judged = body["messages"][0]["content"] == judge.PROMPT
        bad = judged and ("problem 2." in body["messages"][1]["content"] or len(body["messages"]) == 2)
        return completion('{"formulas": 5}') if bad else answer(body)

    with teacher(respond) as endpoint:
        await build(tmp_path, [read_trace(trace(1)), read_trace(trace(2))], endpoint.url)
    [record], [dropped] = outcome(tmp_path)
    assert record["id"] == "t1" and record["cost"]["repeats"] == len(record["blocks"])
    assert (dropped["id"], dropped["reason"]) == ("t2", "unjudged") and "formulas" in dropped["message"]


async def test_what_the_endpoint_refuses_is_dropped_with_its_words(tmp_path):
    def respond(body):
        if "problem 2." in body["messages"][1]["content"]:
            return JSONResponse({"error": {"message": "maximum context length exceeded"}}, 400)
        return answer(body)

    with teacher(respond) as endpoint:
        await build(tmp_path, [read_trace(trace(i)) for i in (1, 2, 3)], endpoint.url)
    kept, [dropped] = outcome(tmp_path)
    assert len(kept) == 2 and dropped["reason"] == "refused" and "context length" in dropped["message"]


async def test_a_busy_endpoint_is_asked_again_and_one_record_that_gets_no_answer_is_left_undone(tmp_path):
    calls = itertools.count()

    def respond(body):
        if "problem 2." in body["messages"][1]["content"] or next(calls) % 3 == 0:
            return JSONResponse({"error": {"message": "busy"}}, 503)
        return answer(body)

    with teacher(respond) as endpoint:
        session = await build(tmp_path, [read_trace(trace(i)) for i in (1, 2, 3)], endpoint.url, concurrency=1)
    assert (session.kept, session.dropped, session.undone) == (2, 0, 1)
    with teacher() as endpoint:
        session = await build(tmp_path, [read_trace(trace(i)) for i in (1, 2, 3)], endpoint.url)
    assert (session.kept, session.known, session.undone) == (1, 2, 0)


@pytest.mark.parametrize(("status", "kind"), [(503, ModelUnavailable), (401, ModelError)])
async def test_an_endpoint_of_no_use_ends_the_build_and_drops_nothing(tmp_path, status, kind):
    with teacher(lambda body: JSONResponse({"error": {"message": "no"}}, status)) as endpoint:
        with pytest.raises(kind):
            await build(tmp_path, (read_trace(trace(i)) for i in itertools.count()), endpoint.url, concurrency=2)
        assert len(endpoint.requests) < 20 * TRIES
    assert outcome(tmp_path) == ([], [])


async def test_equal_records_are_done_once_and_a_stop_leaves_the_rest(tmp_path):
    traces = [read_trace(trace(i % 3)) for i in range(9)]
    with teacher() as endpoint:
        session = await build(tmp_path, traces, endpoint.url)
        assert (session.kept, session.repeated) == (3, 6)
        stopped = await build(tmp_path / "b", traces, endpoint.url, wanted=lambda: False)
    assert stopped.stopped and outcome(tmp_path / "b") == ([], [])


async def test_too_long_and_unusable_records_are_dropped_without_a_call(tmp_path):
    line = {"problem": "P", "response": "<think>" + "word " * 100_001 + "</think>x"}
    items = [read_trace(line), Unusable("k", "a.jsonl, line 2", Reason.UNREADABLE, "Not UTF-8.")]
    with teacher() as endpoint:
        await build(tmp_path, items, endpoint.url)
        assert endpoint.requests == []
    _, dropped = outcome(tmp_path)
    assert {record["reason"] for record in dropped} == {"too_long", "unreadable"}
    assert any("has 100,001 tokens, the limit is 100,000" in record["message"] for record in dropped) and all(
        record["cost"]["calls"] == 0 for record in dropped
    )


async def test_a_short_trace_is_one_block_without_scores(tmp_path):
    with teacher() as endpoint:
        await build(tmp_path, [read_trace(trace(1, sentences=5))], endpoint.url)
        assert not asked(endpoint, scores.PROMPT)
    [record], _ = outcome(tmp_path)
    assert len(record["blocks"]) == 1 and record["blocks"][0]["text"] == thought_of(trace(1, sentences=5))


# Procedural tasks


def solved(n):
    return [solved_record(family, seed) for seed in range(n) for family in FAMILIES]


async def test_a_solvers_mementos_pass_without_a_model(tmp_path):
    tasks = solved(4)
    with teacher() as endpoint:
        session = await build(tmp_path, [read_trace(task) for task in tasks], endpoint.url, Options(judge="mechanical"))
        assert endpoint.requests == []
    kept, dropped = outcome(tmp_path)
    assert (session.kept, dropped) == (len({json.dumps([task["problem"], task["blocks"]]) for task in tasks}), [])
    by_id = {task["id"]: task["blocks"] for task in tasks}
    assert all(record["blocks"] == by_id[record["id"]] for record in kept)
    assert kept[0]["lineage"] == {"teacher": None, "mementos": "given", "judge": "mechanical", "prompts": {}, "tokenizer": "words"}


async def test_the_same_judge_checks_a_solver(tmp_path):
    tasks = solved(1)
    with teacher() as endpoint:
        await build(tmp_path, [read_trace(task) for task in tasks], endpoint.url)
        assert len(asked(endpoint, judge.PROMPT)) == sum(len(task["blocks"]) for task in tasks)
        assert not asked(endpoint, compress.PROMPT)
    kept, _ = outcome(tmp_path)
    assert len(kept) == len(tasks) and all(verdict["total"] == 10 for record in kept for verdict in record["judged"])
    assert kept[0]["lineage"]["judge"] == "teacher"


@pytest.mark.parametrize("part", ["text", "memento", "answer"])
async def test_a_solvers_slip_is_caught_exactly_and_not_refined(tmp_path, part):
    task = solved_record("state_chain", 3)
    place = task if part == "answer" else task["blocks"][-1]
    last = place[part][-1]
    place[part] = place[part][:-1] + str((int(last) + 1) % 10)
    with teacher() as endpoint:
        await build(tmp_path, [read_trace(task)], endpoint.url)
        assert endpoint.requests == []
    kept, [dropped] = outcome(tmp_path)
    assert kept == [] and dropped["reason"] == "failed_memento" and "solver's own check" in dropped["message"]


async def test_another_solvers_number_from_nowhere_is_found(tmp_path):
    blocks = [{"text": "12 + 30 = 42", "memento": "sum: 42"}, {"text": "twice that, less 7", "memento": "result: 42 - 7; 1,077"}]
    with teacher() as endpoint:
        await build(tmp_path, [read_trace({"problem": "P", "blocks": blocks, "answer": "77"})], endpoint.url)
    _, [dropped] = outcome(tmp_path)
    assert dropped["message"] == "Memento 2: Neither in the block nor known before it: 1,077."


# Report


async def test_the_report_counts_outcomes_pass_rates_and_cost(tmp_path):
    kinds = ["easy"] * 3 + ["hard"] * 2 + ["hopeless", "silent"]
    with teacher() as endpoint:
        await build(tmp_path, [read_trace(trace(i, kind)) for i, kind in enumerate(kinds)], endpoint.url)
    found = report(tmp_path).as_dict(Prices(1.0, 10.0))
    assert (found["records"], found["kept"]) == (7, 5)
    assert found["dropped"] == {"failed_memento": 1, "missing_memento": 1}
    assert 0 < found["pass_rate_first"] < found["pass_rate"] < 1
    assert found["calls"] == len(endpoint.requests)
    assert (found["prompt_tokens"], found["completion_tokens"]) == (11 * found["calls"], 3 * found["calls"])  # the endpoint's own figures
    assert found["cost"] == pytest.approx(found["calls"] * (11 * 1 + 3 * 10) / 1e6, abs=1e-4)
    assert not found["tokens_estimated"] and found["teacher"] == "stub"
