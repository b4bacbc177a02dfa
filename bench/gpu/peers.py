"""The same work by cuBLAS and cuDNN, through PyTorch, in the same run: what bench:gpu:matmul and bench:gpu:attention compare with."""
import sys

import torch


def median_us(run, launches):
    """Microseconds of one call, of graphs of some: the median of five."""
    run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(launches):
            run()
    times = []
    for turn in range(6):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        if turn > 0:
            times.append(begin.elapsed_time(end) * 1000 / launches)
    return sorted(times)[2]


def matmul():
    for tokens, rows, cols in [(2048, 28672, 4096), (8192, 28672, 4096)]:
        x = torch.randn(tokens, cols, device="cuda", dtype=torch.bfloat16)
        weight = torch.randn(rows, cols, device="cuda", dtype=torch.bfloat16)
        out = torch.empty(tokens, rows, device="cuda", dtype=torch.bfloat16)
        us = median_us(lambda: torch.mm(x, weight.t(), out=out), 4)
        print(f"cuBLAS bf16 {tokens} x ({rows}, {cols})  {us:8.1f} us {2 * tokens * rows * cols / us / 1e6:4.0f} TFLOP/s")


def attention():
    from torch.nn.attention import SDPBackend, sdpa_kernel

    attend = torch.nn.functional.scaled_dot_product_attention

    def heads(count, rows, length):
        return torch.randn(rows, count, length, 128, device="cuda", dtype=torch.bfloat16)

    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        for tokens in [1024, 4096, 16384]:
            q, k, v = heads(32, 1, tokens), heads(8, 1, tokens), heads(8, 1, tokens)
            us = median_us(lambda: attend(q, k, v, is_causal=True, enable_gqa=True), 6)
            print(f"cuDNN bf16 prefill {tokens:6}  {us:8.1f} us {4 * 128 * 32 * tokens * (tokens + 1) / 2 / us / 1e6:4.0f} TFLOP/s")
        q, k, v = heads(32, 64, 1), heads(8, 64, 8192), heads(8, 64, 8192)
        us = median_us(lambda: attend(q, k, v, enable_gqa=True), 6)
        print(f"cuDNN bf16 decode 64 rows x 8192, contiguous  {us:8.1f} us {2 * 2 * 8 * 128 * 64 * 8192 / us / 1e3:5.0f} GB/s")


{"matmul": matmul, "attention": attention}[sys.argv[1]]()
