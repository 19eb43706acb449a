"""Streams of bits as whole numbers of any size: the obvious way to pack and to unpack."""

import torch


def to_words(values, bits):
    """A row of small whole numbers as int32 words: value i in the bits from i · bits on."""
    stream = sum(int(value) << (bits * index) for index, value in enumerate(values))
    words = [(stream >> (32 * index)) & 0xFFFFFFFF for index in range(-(-len(values) * bits // 32))]
    return torch.tensor([word - 2**32 if word >= 2**31 else word for word in words], dtype=torch.int32)


def from_words(words, bits, count):
    """Back again."""
    stream = sum((int(word) & 0xFFFFFFFF) << (32 * index) for index, word in enumerate(words))
    return [(stream >> (bits * index)) & (2**bits - 1) for index in range(count)]
