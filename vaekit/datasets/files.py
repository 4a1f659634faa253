"""Finding a data file: mirror, then cache, then download; always with its checksum, always written atomically."""

import errno
import gzip
import hashlib
import os
import uuid
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import pooch
from tqdm.auto import tqdm


class DatasetError(RuntimeError):
    """Data could not be had; the message says what was expected, what came and what to do."""


@dataclass(frozen=True)
class File:
    """A data file as its authors publish it.

    In the mirror and in the cache it may also lie gzipped, with `.gz` after its name.

    Args:
        name: its name at the official address.
        sha256: checksum of the file under that name (not of a gzipped copy), None where it is not known.
        addresses: URLs to try, one after the other; none if it is not public.
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
    """`("mirror" or "cache", path)` of a file that is on this machine, unverified, or None."""
    for where, folder in (("mirror", mirror_directory()), ("cache", cache_directory())):
        for name in (file.name, file.name + ".gz"):
            if folder and os.path.isfile(folder / name):
                return where, folder / name
    return None


def fetch(file):
    """The path of a verified file; downloads it if it is neither in the mirror nor in the cache.

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
    temporary = folder / f"{file.name}.{uuid.uuid4().hex}.part"  # in the same directory, so os.replace is atomic
    faults = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for address in file.addresses:
            fault = _try_address(address, file, temporary)
            if fault is None:
                os.replace(temporary, folder / file.name)
                return folder / file.name
            faults.append(f"  {address}: {fault}")
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise DatasetError(
            f"The cache directory {str(folder)!r} cannot take {file.name!r}: "
            f"{'the disk is full' if full else error.strerror or error}. Free or mend it, or set VAEKIT_CACHE to "
            "another directory, or VAEKIT_DATA to one that has the data files already."
        ) from error
    finally:
        if os.path.isfile(temporary):
            os.unlink(temporary)
    raise DatasetError(
        f"{file.name!r} could not be downloaded. Tried:\n" + "\n".join(faults) + "\n"
        "Check the network and try again; or put the file into a directory and name that in the environment "
        'variable VAEKIT_DATA. `load("digits")` needs no download.'
    )


def _try_address(address, file, path):
    """Downloads to `path`; what went wrong at this address, in words, or None. Errors of the disk are raised."""
    from requests import exceptions  # pooch downloads with requests, which is slow to import

    try:
        headers = {"Accept-Encoding": "identity"}  # the file as it is, or its checksum would not be its own
        with tqdm(desc=file.name, total=1, unit="B", unit_scale=True, leave=False) as bar:  # pooch sets the total
            pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, headers=headers)(address, str(path), None)
    except exceptions.HTTPError as error:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    except exceptions.ChunkedEncodingError:
        return "the download was interrupted"
    except exceptions.RequestException as error:
        return f"no connection ({type(error).__name__})"
    return find_fault(file, path)
