"""The engine half of the plugin: scheduler, prefix cache and worker of vLLM, made to evict finished blocks.

Everything vLLM counts stays logical (token ids, positions, lengths, usage). Only the key-value cache is physical: one offset per request, the
tokens evicted so far, is subtracted where pages, slots and sequence lengths are computed:

    physical slot = logical index - offset        for every index behind the last evicted range

Keys carry their rotation, and the attention kernels use slot order for causality alone, so causal attention over the compacted slots *is* the
masked attention of `app.memento.visibility`.
"""
