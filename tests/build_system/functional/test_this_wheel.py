"""The wheel of this repository's course, where there is nothing but Python: pip brings numpy alone, and it learns."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tinytorch_build.manifest import load_manifest
from tinytorch_build.programs import Programs
from tinytorch_build.publish import RECORD_NAME, parse_record
from tinytorch_build.verify.environments import Pip
from tinytorch_build.verify.imports import import_everything
from tinytorch_build.wheel.checked import make_checked

REPOSITORY = Path(__file__).resolve().parents[3]
DIGITS = REPOSITORY / "tests/system/data/digits.csv.gz"

LEARN = """
import json, sys
import numpy as np
import tinytorch
from tinytorch import MLP, AdamW, CrossEntropyLoss, DataLoader, ReLU, Tensor, TensorDataset, Trainer, accuracy

table = np.random.default_rng(0).permutation(np.loadtxt(sys.argv[1], delimiter=",", dtype=np.int64))
images, labels = Tensor((table[:, :64] / 16).astype(np.float32)), Tensor(table[:, 64])
network = MLP([64, 32, 10], activation=ReLU(), rng=0)
trainer = Trainer(network, CrossEntropyLoss(), AdamW(network.parameters(), lr=3e-3))
trainer.fit(DataLoader(TensorDataset(images[:1437], labels[:1437]), batch_size=32, shuffle=True, rng=0), 10)
assert dict(tinytorch.__module_versions__) == json.loads(sys.argv[2])
print(float(accuracy(network.eval()(images[1437:]), labels[1437:])))
"""


def test_pip_installs_it_with_numpy_alone_and_it_learns_to_read_digits(tmp_path: Path) -> None:
    manifest, programs = load_manifest(REPOSITORY / "modules.toml"), Programs()
    published = REPOSITORY / manifest.package.name
    record = parse_record((published / RECORD_NAME).read_text(encoding="utf-8"))
    made, problems, said = make_checked(manifest, record, published, tmp_path / "made", programs)
    assert problems == [], said

    pip, work = Pip(programs), tmp_path / "elsewhere"
    work.mkdir()
    environment = pip.create(work / "environment")
    pip.install(environment, [made.wheel], work)
    names = [name for entry in record.entries.values() for name in entry.names]
    found = import_everything(manifest, names, environment, environment.folder, work, programs)
    assert re.fullmatch(rf"16 modules, {len(names)} names; beside it: numpy [\d.]+", found)

    versions = json.dumps({module.name: module.version for module in manifest.modules})
    learned = programs.run([environment.python, "-I", "-c", LEARN, DIGITS, versions], work, seconds=120)
    assert learned.succeeded, learned.output
    assert float(learned.last_words) >= 0.9, "of 360 digits that it has not seen"
