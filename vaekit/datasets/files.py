"""Finding a data file: vaekit itself, mirror, cache, then download; always with its checksum, never written in part."""

import gzip
import hashlib
import os
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import pooch
from tqdm.auto import tqdm

from vaekit.files import replacing

BUNDLED = Path(__file__).with_name("bundled")  # files that come with vaekit


class DatasetError(RuntimeError):
    """Data could not be had; the message says what was expected, what came and what to do."""


@dataclass(frozen=True)
class File:
    """A data file as its authors publish it.

    In the mirror and in the cache it may also lie gzipped, with `.gz` after its name.

    Args:
        name: its name at the official address.
        sha256: checksum of the file under that name (not of a gzipped copy), None where it is not known.
        addresses: URLs to try, one after the other; none if it is not public, or comes with vaekit.
        git_blob: its git blob id, SHA-1 of "blob <size>\\0" and the content, which serves where `sha256` is None.
            Where neither is known, the file is used with a warning that names its SHA-256.
    """

    name: str
    sha256: str | None
    addresses: tuple[str, ...]
    git_blob: str | None = None


def mirror_directory():
    """The directory of data files that VAEKIT_DATA names, or None where it names none."""
    if not os.environ.get("VAEKIT_DATA"):
        return None
    folder = Path(os.environ["VAEKIT_DATA"]).expanduser()
    if not folder.is_dir():
        raise DatasetError(
            f"VAEKIT_DATA should name a directory with data files, but {str(folder)!r} (seen from {os.getcwd()!r}) "
            "is none. Correct the path, or unset VAEKIT_DATA to use the cache and downloads."
        )
    return folder


def cache_directory():
    """Where downloads are kept: VAEKIT_CACHE, else the user's cache directory."""
    return Path(os.environ.get("VAEKIT_CACHE") or pooch.os_cache("vaekit")).expanduser()


def locate(file):
    """`("bundled", "mirror" or "cache", path)` of a file that is on this machine, unverified, or None."""
    if (BUNDLED / file.name).is_file():
        return "bundled", BUNDLED / file.name
    for where, folder in (("mirror", mirror_directory()), ("cache", cache_directory())):
        for name in (file.name, file.name + ".gz"):
            if folder and os.path.isfile(folder / name):
                return where, folder / name
    return None


def fetch(file):
    """The path of a verified file; downloads it if it is neither in vaekit nor in the mirror nor in the cache.

    Args:
        file: a `File`.

    Returns:
        `Path` to the file, or to a gzipped copy of it (`read` opens both).

    Raises:
        DatasetError: if the file cannot be had, or not with the expected content.
    """
    found = locate(file)
    if found is None:
        return download(file)
    where, path = found
    fault = find_fault(file, path)
    if fault is None:
        return path
    if where == "bundled":
        raise DatasetError(f"vaekit's own file {str(path)!r} is damaged: {fault}. Install vaekit anew.")
    if where == "mirror":
        raise DatasetError(
            f"The mirror's file {str(path)!r} is not the expected one: {fault}. "
            "Replace or remove it, or unset VAEKIT_DATA."
        )
    warnings.warn(f"The cached file {str(path)!r} is damaged: {fault}. Downloading it again.", stacklevel=2)
    return download(file)


def read(file):
    """The verified content of a file as bytes, unzipped if its path ends in `.gz`."""
    path = fetch(file)
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as stream:
        return stream.read()


def find_fault(file, path):
    """What is wrong with the content at `path`, in words; None if it has the expected checksum, or none is known."""
    gzipped_copy = path.name == file.name + ".gz"
    try:
        with gzip.open(path) if gzipped_copy else open(path, "rb") as stream:
            if file.sha256 is None and file.git_blob:
                content = stream.read()
                received = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            else:
                received = hashlib.file_digest(stream, "sha256").hexdigest()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        return f"wrong checksum, as it is a truncated or damaged gzip file ({error})"
    except OSError as error:
        return f"it cannot be read ({error.strerror})"
    expected = file.sha256 or file.git_blob
    if expected is None:
        warnings.warn(
            f"vaekit knows no checksum of {file.name!r}, so its content is not verified; its SHA-256 is {received}.",
            stacklevel=2,
        )
        return None
    kind = "SHA-256" if file.sha256 else "git blob id"
    return None if received == expected else f"wrong checksum, {kind} is {received}, expected {expected}"


def download(file):
    """Downloads a file into the cache from the first address that has it; nothing partial is left under its name."""
    folder = cache_directory()
    if not file.addresses:
        raise DatasetError(
            f"{file.name!r} is not here and has no public address. Put it into a directory and name that in the "
            "environment variable VAEKIT_DATA."
        )
    faults = []
    for address in file.addresses:
        try:
            with replacing(folder / file.name) as stream:
                _receive(address, file, stream)
            return folder / file.name
        except DatasetError as fault:
            faults.append(f"  {address}: {fault}")
        except OSError as error:
            raise DatasetError(
                f"{error.strerror} Or set VAEKIT_CACHE to another directory than {str(folder)!r}, or VAEKIT_DATA to "
                "one that has the data files already."
            ) from error
    raise DatasetError(
        f"{file.name!r} could not be downloaded. Tried:\n" + "\n".join(faults) + "\n"
        "Check the network and try again; or put the file into a directory and name that in the environment "
        'variable VAEKIT_DATA. `load("mnist_10k")` needs no download.'
    )


def _receive(address, file, stream):
    """Downloads to `stream`, and verifies. Errors of the disk are raised as they are, all others as `DatasetError`."""
    from requests import exceptions  # pooch downloads with requests, which is slow to import

    try:
        headers = {"Accept-Encoding": "identity"}  # the file as it is, or its checksum would not be its own
        with tqdm(desc=file.name, total=1, unit="B", unit_scale=True, leave=False) as bar:  # pooch sets the total
            pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, headers=headers)(address, stream, None)
    except exceptions.HTTPError as error:
        raise DatasetError(f"the server answered {error.response.status_code} {error.response.reason}") from error
    except exceptions.ChunkedEncodingError as error:
        raise DatasetError("the download was interrupted") from error
    except exceptions.RequestException as error:
        raise DatasetError(f"no connection ({type(error).__name__})") from error
    stream.flush()
    if fault := find_fault(file, Path(stream.name)):
        raise DatasetError(fault)
