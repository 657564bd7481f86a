"""Export the test as a static folder for any web server; import the ratings that listeners send back."""

import json
import os
import shutil
import tempfile
from pathlib import Path

from overtone import web
from overtone.core.errors import OvertoneError
from overtone.evaluation.listening import session
from overtone.evaluation.listening.examples import Examples
from overtone.evaluation.listening.store import RefusedError, Store

PAGE = Path(__file__).parent / "page"
SHARED = Path(web.__file__).parent / "static"  # scripts of all pages
FORMAT = "overtone listening 1"
ORDERS = 200  # drawn at export, since no server draws them later; a listener's random name chooses one


def export(examples: Examples, store: Store, folder: str | Path) -> None:
    """Write the page, the sounds and some orders into a new folder; store the meaning of the names.

    Raises:
        OvertoneError: the folder holds something, or cannot be written.
    """
    target = Path(folder)
    names = session.clips(examples, store.secret)
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise OvertoneError(f"{target} is there and not empty; name a new folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as temporary:
            content = Path(temporary, "content")
            shutil.copytree(PAGE, content)
            shutil.copytree(SHARED, content, dirs_exist_ok=True)
            (content / "audio").mkdir()
            for name, clip in sorted(names.items()):  # not in the order of systems: files keep their time
                (content / "audio" / f"{name}.wav").write_bytes(examples.sounds[clip.sample][clip.system])
            orders = [session.order(names, str(number), store.secret) for number in range(ORDERS)]
            about = {"saving": "file", "format": FORMAT, "test": examples.test, "orders": orders}
            (content / "test.json").write_text(json.dumps(about), encoding="utf-8")
            store.know(examples.test, names)
            os.replace(content, target)
    except OSError as error:
        raise OvertoneError(f"{target} cannot be written: {error.strerror}") from None


def import_ratings(path: str | Path, store: Store) -> tuple[int, int]:
    """Store the ratings of a file that a listener sent; return their number, and how many were new.

    Raises:
        OvertoneError: the page did not write the file, or its test was not exported here; none of its
            ratings is stored.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OvertoneError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise OvertoneError(f"{path} is not a file of ratings that the listening page saved")
    try:
        new = store.rate(content.get("listener"), content.get("ratings"))
    except RefusedError as error:
        raise OvertoneError(f"{path} does not fit {store.path}: {error}") from None
    return len(content["ratings"]), new
