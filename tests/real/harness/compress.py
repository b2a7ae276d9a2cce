"""Payloads compressed in each way that Varve unpacks. Snappy and lz4 by the libraries that Varve itself is linked with."""
import ctypes
import functools
import gzip
import struct

import zstandard

_ZSTD = zstandard.ZstdCompressor(level=1)


@functools.lru_cache(None)
def _snappy():
    return ctypes.CDLL('libsnappy.so.1')


@functools.lru_cache(None)
def _lz4():
    lz4 = ctypes.CDLL('liblz4.so.1')
    lz4.LZ4F_compressFrameBound.restype = lz4.LZ4F_compressFrame.restype = ctypes.c_size_t
    return lz4


@functools.lru_cache(None)
def _crc32c_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82f63b78 if n & 1 else 0)
        table.append(n)
    return table


def _masked_crc32c(data):
    table, crc = _crc32c_table(), 0xffffffff
    for b in data:
        crc = table[(crc ^ b) & 255] ^ crc >> 8
    crc ^= 0xffffffff
    return ((crc >> 15 | crc << 17) + 0xa282ead8) & 0xffffffff


def snappy_block(data):
    """The bare format, as remote write has it."""
    size = ctypes.c_size_t(32 + len(data) + len(data) // 6)
    out = ctypes.create_string_buffer(size.value)
    if _snappy().snappy_compress(data, ctypes.c_size_t(len(data)), out, ctypes.byref(size)) != 0:
        raise ValueError('snappy_compress')
    return out.raw[:size.value]


def snappy_stream(data):
    """google/snappy framing_format.txt; data of at most 64 KiB"""
    chunk = struct.pack('<I', _masked_crc32c(data)) + snappy_block(data)
    return b'\xff\x06\x00\x00sNaPpY\x00' + struct.pack('<I', len(chunk))[:3] + chunk


def snappy_xerial(data):
    """snappy-java's SnappyOutputStream"""
    block = snappy_block(data)
    return b'\x82SNAPPY\x00' + struct.pack('>III', 1, 1, len(block)) + block


def lz4(data):
    bound = _lz4().LZ4F_compressFrameBound(ctypes.c_size_t(len(data)), None)
    out = ctypes.create_string_buffer(bound)
    size = _lz4().LZ4F_compressFrame(out, ctypes.c_size_t(bound), data, ctypes.c_size_t(len(data)), None)
    if size > bound:
        raise ValueError('LZ4F_compressFrame')
    return out.raw[:size]


def zstd(data):
    return _ZSTD.compress(data)


def gzipped(data):
    return gzip.compress(data, 1, mtime=0)


ALL = (gzipped, zstd, snappy_stream, snappy_xerial, lz4)
