"""All rows of a recipe: which records became one, what they hold, and the file that both stages read. Needs no torch."""

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.errors import InvalidInput, StorageError
from app.memento.grammar import TokenIds
from app.memento.visibility import Policy, evict_after
from infra.training.hub.config import HubRecipe
from infra.training.hub.encode import Encoder, Row
from infra.training.hub.pretrained import Pretrained, Say
from infra.training.manifest import write_json
from infra.training.mementos.records import Dropped, Reason, open_dataset
from infra.weights.manifest import file_hash

ARROW, FACTS, SCRATCH = "rows.arrow", "rows.json", ".rows-"
GROUP = 256  # rows written at a time


@dataclass
class Statistics:
    """Counted while rows are made. `pairs` of a query with a key not after it, of which the memento mask hides `hidden`; `targets` are tokens
    that are learned. `said` has a sentence for each reason: why its first record was left out."""

    records: int = 0
    rows: int = 0
    blocks: int = 0
    tokens: int = 0
    targets: int = 0
    longest: int = 0
    pairs: int = 0
    hidden: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    said: dict[str, str] = field(default_factory=dict)
    digest: str = ""

    @property
    def summary(self) -> dict[str, Any]:
        """Figures for a plan or a manifest."""
        counts = {name: getattr(self, name) for name in ("records", "rows", "blocks", "tokens", "targets", "longest")}
        share = round(self.hidden / self.pairs, 4) if self.pairs else 0.0
        return {**counts, "hidden_share": share, "dropped": dict(self.dropped.most_common()), "sha256": self.digest}


class RowReader:
    """Iterates over the rows of files of records, once; `statistics` is complete behind the last."""

    def __init__(self, files: Sequence[Path], encoder: Encoder, policy: Policy, max_length: int) -> None:
        self.statistics = Statistics()
        self._files = files
        self._encoder = encoder
        self._policy = policy
        self._max_length = max_length

    def __iter__(self) -> Iterator[Row]:
        """Raises InvalidInput for a file that is none of records, and where not one record became a row."""
        digest = hashlib.sha256()
        found = self.statistics
        for number, item in enumerate(open_dataset(self._files), 1):
            found.records = number
            try:
                if not hasattr(item, "blocks"):
                    raise Dropped(item.reason, f"{item.where}: {item.message}")
                row = self._encoder.encode(item)
                if len(row.ids) > self._max_length:
                    held = f"a row holds {self._max_length:,}: raise train.max_length, or leave it out"
                    raise Dropped(Reason.TOO_LONG, f"It has {len(row.ids):,} tokens, {held}.")
            except Dropped as dropped:
                found.dropped[dropped.reason.value] += 1
                found.said.setdefault(dropped.reason.value, _sentence(item, dropped))
                continue
            self._count(row)
            digest.update(json.dumps([row.prompt, row.ids]).encode())
            yield row
        found.digest = digest.hexdigest()
        if not found.rows:
            first = next(iter(found.said.values()), "there are none")
            raise InvalidInput(f"None of {found.records} records can be trained on. {first}", hint="Check data.files and train.max_length.")

    def _count(self, row: Row) -> None:
        found, length = self.statistics, len(row.ids)
        found.rows += 1
        found.tokens += length
        found.targets += length - row.prompt
        found.longest = max(found.longest, length)
        found.pairs += length * (length + 1) // 2
        after = evict_after(row.ids, self._encoder.ids, self._policy)
        found.hidden += sum(length - limit for limit in after if limit < length)
        found.blocks += row.ids.count(self._encoder.ids.summary_end)


def _sentence(item: Any, dropped: Dropped) -> str:
    return f"{item.id}: {dropped.message}" if hasattr(item, "id") else dropped.message


def write_rows(folder: Path, reader: RowReader, made_from: dict[str, Any]) -> Statistics:
    """The folder with all rows, made at once: it is there whole or not at all. Raises StorageError where the disk does not take it."""
    import pyarrow
    from datasets import Features, List, Value
    from datasets.arrow_writer import ArrowWriter

    folder.parent.mkdir(parents=True, exist_ok=True)
    integers = List(Value("int32"))
    try:
        with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder.parent) as scratch:
            built = Path(scratch) / folder.name
            built.mkdir()
            features = Features({"input_ids": integers, "labels": integers})
            with ArrowWriter(path=str(built / ARROW), features=features, writer_batch_size=GROUP) as writer:
                for row in reader:
                    writer.write({"input_ids": row.ids, "labels": row.labels})
                writer.finalize()
            found = reader.statistics
            write_json(built / FACTS, {"made_from": made_from, "summary": found.summary, "said": found.said})
            shutil.rmtree(folder, ignore_errors=True)
            built.rename(folder)
    except (OSError, pyarrow.ArrowException) as error:
        raise StorageError(f"The rows could not be written to {folder}: {error}", hint="Free some disk and start it again.") from error
    return found


def read_facts(folder: Path) -> dict[str, Any] | None:
    """What is known of the rows there; None where there are none."""
    path = folder / FACTS
    return json.loads(path.read_text()) if path.is_file() else None


def fingerprint(files: Sequence[Path], tokenizer: Path, ids: TokenIds, settings: dict[str, Any]) -> dict[str, Any]:
    """What decides the rows: contents of the files and of the tokenizer, settings of the recipe. Raises InvalidInput for a missing file."""
    for path in files:
        if not path.is_file():
            raise InvalidInput(f"There is no file at {path}.", hint="Make it with `keepsake mementos build`, or correct data.files.")
    names = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
    read = {name: file_hash(tokenizer / name) for name in names if (tokenizer / name).is_file()}
    return {
        "files": [file_hash(path) for path in files],
        "tokenizer": read,
        "tokens": [ids.block_start, ids.block_end, ids.summary_start, ids.summary_end],
        **settings,
    }


def make_rows(folder: Path, recipe: HubRecipe, model: Pretrained, say: Say) -> None:
    """The rows of a recipe, unless those that are there were made of the same. Raises what the reader and the writer raise."""
    data, length = recipe.data, recipe.train.max_length
    settings = {"system": data.system, "think": data.think, "max_length": length, "policy": vars(model.policy)}
    made_from = fingerprint(data.files, model.directory, model.ids, settings)
    if (facts := read_facts(folder)) and facts["made_from"] == made_from:
        return
    for stale in folder.parent.glob(f"{SCRATCH}*"):  # of a process that was killed
        shutil.rmtree(stale)
    say("making rows")
    encoder = Encoder(model.tokenizer(), model.ids, data.system, data.think)
    found = write_rows(folder, RowReader(data.files, encoder, model.policy, length), made_from)
    for reason, sentence in found.said.items():
        say(f"left out {found.dropped[reason]} ({reason}), such as {sentence}")


def load_rows(folder: Path, packed: int | None) -> Any:
    """A `datasets.Dataset` of input_ids and labels; `packed`: several behind one another in rows of so many tokens, best fit first."""
    from datasets import Dataset

    rows = Dataset.from_file(str(folder / ARROW))
    if packed is None:
        return rows
    from trl import pack_dataset

    return pack_dataset(rows, packed, "bfd")
