"""A trained reader as one file that runs without the run directory: python -m digits_jax.export

`stablehlo` writes and loads jax.export artifacts, decoding included; `onnx_model` writes ONNX, which ends in logits.
`writing` does the whole: it writes, reads back, compares.
"""
