"""Payloads as their producers compress them. Codecs are the libraries' own (liblz4, libsnappy through ctypes), so that what
Varve's decoding is held against isn't a second reading of the same text."""
import ctypes
import gzip
import struct

import zstandard

CHUNK = 65536           # of snappy's framing format, uncompressed
_libraries = {}


def _library(name):
    if name not in _libraries:
        _libraries[name] = ctypes.CDLL(name)
    return _libraries[name]


def snappy_block(data):
    """A bare block, as remote write has it."""
    lib = _library('libsnappy.so.1')
    lib.snappy_max_compressed_length.restype = ctypes.c_size_t
    size = ctypes.c_size_t(lib.snappy_max_compressed_length(ctypes.c_size_t(len(data))))
    out = ctypes.create_string_buffer(size.value)
    if lib.snappy_compress(data, ctypes.c_size_t(len(data)), out, ctypes.byref(size)) != 0:
        raise ValueError('snappy_compress')
    return out.raw[:size.value]


def _crc32c_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82f63b78 if n & 1 else 0)
        table.append(n)
    return table


_CRC32C = _crc32c_table()


def crc32c(data):
    crc = 0xffffffff
    for b in data:
        crc = crc >> 8 ^ _CRC32C[(crc ^ b) & 0xff]
    return crc ^ 0xffffffff


def snappy_framed(data):
    """Snappy's framing format (framing_format.txt): the second chunk, if there is one, stays uncompressed."""
    out = b'\xff\x06\0\0sNaPpY'
    for n, at in enumerate(range(0, len(data), CHUNK)):
        plain = data[at:at + CHUNK]
        crc = crc32c(plain)
        body = struct.pack('<I', ((crc >> 15 | crc << 17) + 0xa282ead8) & 0xffffffff) + (plain if n == 1 else snappy_block(plain))
        out += struct.pack('<I', (n == 1) | len(body) << 8) + body
    return out + b'\xfe\x03\0\0pad'      # padding is to be skipped


def snappy_xerial(data):
    """snappy-java's SnappyOutputStream."""
    out = b'\x82SNAPPY\0' + struct.pack('>II', 1, 1)
    for at in range(0, len(data), 32768):
        block = snappy_block(data[at:at + 32768])
        out += struct.pack('>I', len(block)) + block
    return out


def lz4(data):
    lib = _library('liblz4.so.1')
    lib.LZ4F_compressFrameBound.restype = lib.LZ4F_compressFrame.restype = ctypes.c_size_t
    bound = lib.LZ4F_compressFrameBound(ctypes.c_size_t(len(data)), None)
    out = ctypes.create_string_buffer(bound)
    size = lib.LZ4F_compressFrame(out, ctypes.c_size_t(bound), data, ctypes.c_size_t(len(data)), None)
    if lib.LZ4F_isError(ctypes.c_size_t(size)):
        raise ValueError('LZ4F_compressFrame')
    return out.raw[:size]


def zstd_frames(data):
    """Two frames, the first one without its size."""
    middle = len(data) // 2
    c = zstandard.ZstdCompressor().compressobj()
    return c.compress(data[:middle]) + c.flush() + zstandard.compress(data[middle:])


def gzip_members(data):
    middle = len(data) // 2
    return gzip.compress(data[:middle], mtime=0) + gzip.compress(data[middle:], mtime=0)


PACKINGS = {
    'plain': bytes,
    'gzip': lambda data: gzip.compress(data, mtime=0),
    'gzip members': gzip_members,
    'zstd': zstandard.compress,
    'zstd frames': zstd_frames,
    'lz4': lz4,
    'snappy framed': snappy_framed,
    'snappy xerial': snappy_xerial,
}
