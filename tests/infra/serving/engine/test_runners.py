"""The workers' halves on plain CPU tensors: slots moved row by row as on CUDA, and the lengths that model runner V2 gives to whom."""

import textwrap

from tests.infra.serving_environment import evaluate


def program(code: str) -> object:
    return evaluate(textwrap.dedent(code))


def test_rows_move_in_any_strides_and_all_are_read_before_one_is_written():
    assert program(
        """
        import json, random, torch
        from keepsake_vllm.engine.slots import SlotMover
        rng, ok = random.Random(1), True
        for permute in ((0, 1, 2, 3), (0, 2, 1, 3), (1, 0, 2, 3), (2, 1, 0, 3)):  # KV layouts permute strides, not the logical shape
            shape = [6, 2, 8, 10]  # pages, heads, slots, 2 * head size
            base = torch.randn([shape[axis] for axis in permute])
            cache = base.permute([permute.index(axis) for axis in range(4)])
            assert list(cache.shape) == shape
            rows = cache.transpose(1, 2).reshape(48, 20).clone()
            source, target = rng.sample(range(48), 20), rng.sample(range(48), 20)
            mover = object.__new__(SlotMover)
            mover.device, mover.caches = torch.device("cpu"), [("", cache)]
            mover._move_rows(torch.tensor(source), torch.tensor(target))
            rows[target] = rows[source].clone()
            ok &= torch.equal(cache.transpose(1, 2).reshape(48, 20), rows)
        print(json.dumps(ok))
        """
    )


def test_slots_move_in_the_tiles_of_every_kernel_this_cpu_has():
    """Written by the kernel's own operation, moved, and compared with a cache that was written in the moved order."""
    assert program(
        """
        import json, torch
        import vllm._custom_ops as ops
        from keepsake_vllm.engine.slots import SlotMover
        ok, kinds = True, [("vec", torch.float32)] + ([("amx", torch.bfloat16)] if torch.cpu._is_amx_tile_supported() else [])
        for isa, dtype in kinds:
            heads, size, head = 3, 32, 64
            plain = {"k_scale": 1.0, "v_scale": 1.0, "kv_cache_dtype": "auto"}
            def written(order):
                cache = torch.zeros(4, heads, size, 2 * head, dtype=dtype)
                keys, values = cache.view(4, heads, 2 * size, head).chunk(2, dim=2)
                torch.manual_seed(0)
                k, v = torch.randn(96, heads, head, dtype=dtype), torch.randn(96, heads, head, dtype=dtype)
                ops.cpu_attn_reshape_and_cache(k, v, keys, values, torch.tensor(order), isa, **plain)
                return cache
            moved = written(list(range(96)))
            mover = object.__new__(SlotMover)
            mover.device, mover.caches = torch.device("cpu"), [(isa, moved)]
            source, target = list(range(70, 96)), list(range(11, 37))
            mover.move(source, target)
            again = written(list(range(96)))
            keys, values = again.view(4, heads, 2 * size, head).chunk(2, dim=2)
            torch.manual_seed(0)
            k, v = torch.randn(96, heads, head, dtype=dtype), torch.randn(96, heads, head, dtype=dtype)
            ops.cpu_attn_reshape_and_cache(
                k[70:96].contiguous(), v[70:96].contiguous(), keys, values, torch.tensor(target), isa, **plain
            )
            ok &= torch.equal(moved, again)
        print(json.dumps(bool(ok)))
        """
    )


def test_runner_v2_attends_over_physical_lengths_and_samples_by_logical_ones():
    seen = program(
        """
        import json
        from types import SimpleNamespace as S
        import numpy as np, torch
        from keepsake_vllm.engine import runner_v2
        seen = {}
        def attend(self, batch):
            seen["attention"] = batch.seq_lens.tolist()
            seen["bound"] = batch.seq_lens_cpu_upper_bound.tolist()
            seen["slots"] = batch.positions.tolist()
            return "tables"
        def sample(self, hidden, batch, grammar):
            seen["sampling"] = batch.seq_lens.tolist()
            return "sampled"
        runner = S(device=torch.device("cpu"), _memento_offsets={"b": 40, "gone": 9})
        buffer = torch.tensor([12, 100, 0], dtype=torch.int32)
        batch = S(
            req_ids=["a", "b"], seq_lens=buffer, seq_lens_cpu_upper_bound=torch.tensor([12, 100, 0], dtype=torch.int32), num_tokens=4,
            num_scheduled_tokens=np.array([1, 3]), positions=torch.tensor([11, 97, 98, 99, 0]),
        )
        assert runner_v2._prepare_attn(attend)(runner, batch) == "tables"
        assert batch.seq_lens is buffer  # CUDA graphs read it at this address
        seen["positions"] = batch.positions.tolist()
        assert runner_v2._sample(sample)(runner, None, batch, None) == "sampled"
        runner_v2._sample(sample)(runner, None, batch, None)
        print(json.dumps(seen))
        """
    )
    assert seen == {
        "attention": [12, 60, 0],
        "bound": [12, 60, 0],
        "slots": [11, 57, 58, 59, 0],
        "positions": [11, 97, 98, 99, 0],
        "sampling": [12, 100, 0],
    }


def test_runner_v2_moves_before_it_appends_and_cuts_the_table():
    assert program(
        """
        import json
        from types import SimpleNamespace as S
        from keepsake_vllm.engine import runner_v2
        from keepsake_vllm.engine.step import MementoStep, Moves, Rewrite
        log = []
        runner_v2.move_slots = lambda runner, mover, step: log.append(["move", step.compactions.source])
        runner_v2.mover_of = lambda runner: None
        runner = S(
            req_states=S(req_id_to_index={"a": 3}),
            block_tables=S(append_block_ids=lambda row, pages, overwrite: log.append(["table", row, pages[0], overwrite])),
        )
        step = MementoStep(offsets={"a": 5}, rewrites=[Rewrite("a", [4, 9]), Rewrite("gone", [1])], compactions=Moves([70], [60]))
        runner_v2._update_requests(lambda self, output: log.append(["append"]))(runner, S(memento=step))
        assert runner._memento_offsets == {"a": 5}
        runner_v2._update_requests(lambda self, output: None)(runner, S())
        assert runner._memento_offsets == {}
        print(json.dumps(log))
        """
    ) == [["move", [70]], ["table", 3, [4, 9], True], ["append"]]
