"""The bench itself: both sides really take their rounds, and ours stays small."""

from infra.bench.orchestrator import ROUNDS, run_ours, run_stock


async def test_prompts_of_ours_stay_below_a_third_of_stocks():
    _, ours = await run_ours()
    _, stock = await run_stock()
    assert len(ours) == len(stock) == ROUNDS + 1
    assert ours[29] <= 0.33 * stock[29]
