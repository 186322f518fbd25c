"""Kernels: each operation has a plain PyTorch reference and, where it pays, a faster implementation."""
