"""NumPy's files: what numpy writes is read as numpy reads it, and no claim is believed."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from embedx.errors import InputError
from embedx.oracle.array_files import read_npy, read_npz

ARRAYS = hnp.arrays(
    st.one_of(
        hnp.scalar_dtypes().filter(lambda d: d.kind in "biufc"),
        hnp.unicode_string_dtypes(max_len=4),
    ),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


def npy(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(array), **options)
    return buffer.getvalue()


def header(text: str, body: bytes = b"") -> bytes:
    line = f"{text}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line + body


def claim(shape: Any, descr: Any = "<f4") -> str:
    return repr({"descr": descr, "fortran_order": False, "shape": shape})


@given(array=ARRAYS, fortran=st.booleans(), compressed=st.booleans())
def test_numbers_and_texts_come_back(
    array: Any, fortran: bool, compressed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    array = np.asfortranarray(array) if fortran else array
    np.save(folder / "a.npy", array)
    (np.savez_compressed if compressed else np.savez)(folder / "a.npz", x=array, **{"a/b": array})
    found = read_npz(folder / "a.npz")
    assert list(found) == ["x", "a/b"]
    for ours in (read_npy(folder / "a.npy"), *found.values()):
        assert ours.shape == array.shape
        assert ours.flags.c_contiguous
        if array.dtype.kind == "U":
            assert ours.tolist() == array.tolist()
            assert ours.dtype == object
        else:
            assert ours.dtype == array.dtype.newbyteorder("=")
            np.testing.assert_array_equal(ours, array)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_each_version_of_the_format_is_read(version: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(npy(np.arange(6.0).reshape(2, 3), version=version))
    np.testing.assert_array_equal(read_npy(tmp_path / "x.npy"), [[0, 1, 2], [3, 4, 5]])


def test_headers_of_other_writers_are_read(tmp_path: Path) -> None:
    text = "{'shape': (2L,), 'descr':'|u1','fortran_order': False}"
    (tmp_path / "x.npy").write_bytes(header(text, b"\1\2"))
    assert read_npy(tmp_path / "x.npy").tolist() == [1, 2]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (header(claim((10**15,))), "4000000000000000 bytes"),
        (header(claim((2**40, 2**40))), "no .npy file"),
        (header(claim((-1,))), "no .npy file"),
        (header(claim((10**15,), "<U0")), "no .npy file"),
        (header(claim((10**15,), "|V0")), "no .npy file"),
        (header(claim((1,), [("a", "<f4")]), b"1234"), "no .npy file"),
        (header(claim((1,), "|O"), b"(lp0\n."), "pickled objects; texts are written with"),
        (header(claim((1,), "<M8[s]"), b"12345678"), "elements are of type datetime64"),
        (header("__import__('os').getpid()"), "no .npy file"),
        (header("(" * 5000), "no .npy file"),
        (header(claim((1,), "S" + "9" * 5000)), "no .npy file"),
        (header(claim((2,)), b"12345678trailing"), "it holds 16"),
        (header(claim((2,)), b"1234567"), "it holds 7"),
        (header(claim((1,), "|S2"), b"\xff\xfe"), "not UTF-8"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "no .npy file"),
        (b"\x93NUMPY\x09\x00", "no .npy file"),
        (b"\x80\x04\x95", "no .npy file"),
        (b"", "no .npy file"),
    ],
)
def test_what_a_header_claims_is_not_believed(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(data)
    with pytest.raises(InputError, match=said) as caught:
        read_npy(path)
    assert "x.npy" in str(caught.value)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("first.npy", data)
    with pytest.raises(InputError, match=said) as caught:
        read_npz(tmp_path / "x.npz")
    assert "entry 'first.npy'" in str(caught.value)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.array([{}], object))
    with pytest.raises(InputError, match="pickled objects; texts are written with"):
        read_npz(tmp_path / "x.npz")


def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(10**6), b=np.zeros(10**6))
    assert (tmp_path / "x.npz").stat().st_size < 10**5
    with pytest.raises(InputError, match=r"entry 'b.npy' takes 8000000 bytes .* 2000000 are"):
        read_npz(tmp_path / "x.npz", max_bytes=10**7)
    assert len(read_npz(tmp_path / "x.npz", max_bytes=16 * 10**6)) == 2


def test_texts_count_as_what_they_take_in_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full(1000, b"a"))
    with pytest.raises(InputError, match="bytes in memory"):
        read_npy(tmp_path / "x.npy", max_bytes=10_000)


def rewritten(tmp_path: Path, old: bytes, new: bytes) -> Path:
    """An archive of one array of which bytes are exchanged."""
    path = tmp_path / "x.npz"
    np.savez(path, x=np.arange(8))
    data = path.read_bytes()
    assert data.count(old)
    path.write_bytes(data.replace(old, new))
    return path


def test_damage_is_named(tmp_path: Path) -> None:
    numbers = np.arange(8).tobytes()
    flipped = rewritten(tmp_path, numbers, numbers[::-1])
    with pytest.raises(InputError, match=r"x\.npz, entry 'x\.npy' is damaged"):
        read_npz(flipped)
    size = len(npy(np.arange(8))).to_bytes(4, "little")
    larger = rewritten(tmp_path, size, (2**31).to_bytes(4, "little"))
    with pytest.raises(InputError, match=r"x\.npz"):
        read_npz(larger)


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_any_byte_may_be_wrong(
    place: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = folder / "any.npz"
    np.savez_compressed(path, x=np.arange(20.0), y=np.array(["a", "b"]))
    data = bytearray(path.read_bytes())
    data[place % len(data)] = byte
    path.write_bytes(data)
    try:
        read_npz(path)
    except InputError as error:
        assert "any.npz" in str(error)  # noqa: PT017


def test_what_is_no_archive_of_arrays_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("readme.txt", "a text")
    with pytest.raises(InputError, match=r"entry 'readme.txt': expected .npy files"):
        read_npz(tmp_path / "text.npz")
    with zipfile.ZipFile(tmp_path / "xz.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", npy(np.zeros(9)))
    with pytest.raises(InputError, match="compressed in a way"):
        read_npz(tmp_path / "xz.npz")
    (tmp_path / "none.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"no \.npz file"):
        read_npz(tmp_path / "none.npz")
    for read in (read_npy, read_npz):
        with pytest.raises(InputError, match="nowhere"):
            read(tmp_path / "nowhere")
        with pytest.raises(InputError, match="no regular file"):
            read(tmp_path)
