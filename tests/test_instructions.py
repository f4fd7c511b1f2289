"""The check of a wheel's libraries sees every kind of instruction of AVX-512. The bytes were assembled by hand."""

import struct

import pytest

pytest.importorskip("capstone", reason="capstone is not installed, which reads machine code: make wheel")
from tools import instructions

NONE = (
    "c5fc58c1",  # vaddps ymm0, ymm0, ymm1
    "c4e2f5a8c2",  # vfmadd213pd ymm0, ymm1, ymm2
    "64c5fc1000",  # vmovups ymm0, fs:[rax]
    "b862f17c48",  # mov eax, with the first bytes of an instruction of AVX-512 as a number
    "0f1f440000",  # a nop between functions
    "cc",  # what a linker fills with
)
AVX512 = (
    "62f17c4858c1",  # vaddps zmm0, zmm0, zmm1
    "62f17c2858c1",  # the same with ymm, whose name tells nothing
    "62f17c085801",  # and with xmm, from memory
    "6462f17c281000",  # vmovups ymm0, fs:[rax]
    "6762f17c281000",  # vmovups ymm0, [eax]
    "c5f892c0",  # kmovw k0, eax
    "c5f899c1",  # ktestw k0, k1
)
RETURN = bytes.fromhex("c3")


def library(path, code):
    """The smallest ELF file of one executable section."""
    sections = 64, 0, 0  # after the header
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, 64, 0, 64, 0, 0, 64, 2, 0
    )
    progbits, executable, start = 1, 6, 0x1000
    sections = bytes(64) + struct.pack("<IIQQQQIIQQ", 0, progbits, executable, start, 192, len(code), 0, 0, 16, 0)
    path.write_bytes(header + sections + code)
    return path


@pytest.mark.parametrize("code", NONE)
def test_what_every_level_may_have_is_not_counted(tmp_path, code):
    assert instructions.count(library(tmp_path / "x.so", bytes.fromhex(code) + RETURN)) == (2, 0)


@pytest.mark.parametrize("code", AVX512)
def test_every_kind_of_avx512_is_counted(tmp_path, code):
    assert instructions.count(library(tmp_path / "x.so", bytes.fromhex(code) + RETURN)) == (2, 1)


@pytest.mark.parametrize("code", AVX512)
def test_one_instruction_among_thousands_fails(tmp_path, code):
    code = RETURN * 5000 + bytes.fromhex(code) + RETURN * 5000
    with pytest.raises(ValueError, match="1 of 10001 instructions are of AVX-512"):
        instructions.check(library(tmp_path / "x86-64-v3.so", code))
    assert "10001 instructions, 1 of AVX-512" in instructions.check(library(tmp_path / "x86-64-v4.so", code))


def test_a_library_of_the_other_level_fails(tmp_path):
    """As if the options of the compiler had been lost."""
    code = bytes.fromhex(NONE[0]) * 2000
    assert instructions.check(library(tmp_path / "x86-64-v3.so", code)).endswith("2000 instructions, 0 of AVX-512")
    with pytest.raises(ValueError, match="0 of 2000"):
        instructions.check(library(tmp_path / "x86-64-v4.so", code))


def test_a_library_without_code_fails(tmp_path):
    with pytest.raises(ValueError, match="0 of 10 instructions"):
        instructions.check(library(tmp_path / "x86-64-v3.so", RETURN * 10))


def test_data_among_code_is_an_error(tmp_path):
    """Bytes that are no instruction, and the rest of a section that nothing was read of."""
    code = RETURN * 2000 + bytes.fromhex("06") + RETURN * 2000
    with pytest.raises(ValueError, match="no instruction at 0x17d0"):
        instructions.check(library(tmp_path / "x86-64-v3.so", code))
