"""The test as a static folder for any web server, and the files of ratings that listeners send back."""

import json
import os
import shutil
import tempfile
from pathlib import Path

from overtone.core.errors import OvertoneError
from overtone.evaluation.listening import session
from overtone.evaluation.listening.examples import Examples
from overtone.evaluation.listening.store import RefusedError, Store

PAGE = Path(__file__).parent / "page"
FORMAT = "overtone listening 1"
ORDERS = 200  # drawn beforehand, since no server is there to draw them; a listener gets one by chance


def export(examples: Examples, store: Store, folder: str | Path) -> None:
    """Write the page, the sounds and some orders into a new folder; `store` learns what the names mean.

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
            made = Path(temporary, "made")
            shutil.copytree(PAGE, made)
            (made / "audio").mkdir()
            for name, clip in sorted(names.items()):  # not in the order of systems: files keep their time
                (made / "audio" / f"{name}.wav").write_bytes(examples.sounds[clip.sample][clip.system])
            orders = [session.order(names, str(number), store.secret) for number in range(ORDERS)]
            about = {"saving": "file", "format": FORMAT, "test": examples.test, "orders": orders}
            (made / "test.json").write_text(json.dumps(about), encoding="utf-8")
            store.know(examples.test, names)
            os.replace(made, target)
    except OSError as error:
        raise OvertoneError(f"{target} cannot be written: {error.strerror}") from None


def import_ratings(path: str | Path, store: Store) -> tuple[int, int]:
    """Store the ratings of a file that a listener sent; how many it holds, and how many of them were new.

    Raises:
        OvertoneError: the file is not one of the page's, or of a test that was not exported here; nothing
            of it is stored.
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
