"""Connectionist temporal classification: the loss, and decoders that turn frames into numbers."""
