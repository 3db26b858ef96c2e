from infra.bench.stream import figures_of


def record(solved=True, computed=1000, peak=400, logical=900, **more):
    return {"solved": solved, "computed": computed, "peak": peak, "logical": logical, "calls": 12, "seconds": 9.0, "rollovers": 0, **more}


def test_figures_are_paired_and_costs_come_from_tasks_that_both_solved():
    text = [record(computed=1000, solved=i != 0) for i in range(20)]
    stream = [record(computed=400 if i else 9000, solved=i != 1, rollovers=int(i == 2)) for i in range(20)]
    figures = figures_of(text, stream)
    assert figures["success_text"].value == figures["success_stream"].value == 0.95
    assert figures["gap"].value == 0 and figures["gap"].ci95 is not None and figures["gap"].ci95[0] < 0
    assert figures["computed_tokens_ratio"].value == 0.4 and figures["computed_tokens_ratio"].n == 18
    assert figures["computed_tokens_ratio_all"].value == (19 * 400 + 9000) / 20000
    assert figures["peak_kv_ratio"].value == round(400 / 900, 6) and figures["rollovers"].value == 1
    assert figures["peak_stream_over_text"].value == 1
