"""Questions in SQuAD's format."""

from collections import namedtuple
from pathlib import Path
import json
from .pairs import read_content

Example = namedtuple("Example", ["context", "answer", "start", "question"])
_DATA = Path(__file__).parent / "data"
ASK_TRAIN = _DATA / "x.train.json.gz"
ASK_VALID = _DATA / "x.valid.json.gz"


def read_squad(path):
    raise NotImplementedError
