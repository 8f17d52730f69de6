"""Whole histories on disk: edits, failures, vandalism and kills, and a reader who believes only the files."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.build_system.publish.builders import Course
from tests.build_system.publish.test_swap import in_child, killer, posix
from tinytorch_build.files import digest_of, sha256
from tinytorch_build.publish import Entry, identity

DEPENDS = {
    "setup": (),
    "tensor": (),
    "layers": ("tensor",),
    "dense": ("tensor", "layers"),
    "autograd": ("tensor",),
    "training": ("tensor", "layers", "autograd"),
}


class History:
    """A course, what was really tested in it, and what may happen to it."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.chance = random.Random(seed)
        self.depends = dict(DEPENDS)
        self.targets: dict[str, str] = {}
        self.texts = dict.fromkeys(DEPENDS, 0)
        self.proofs: dict[str, list[Mapping[str, str]]] = {}
        """For each identity the scopes that it was tested with."""

    def course(self) -> Course:
        """The course as a new process finds it."""
        course = Course(self.root, self.depends, self.targets)
        for name, text in self.texts.items():
            if name in self.depends:
                course.stage(name, f"{name} = {text}\n")
        return course

    def change(self) -> None:
        """Somebody edits a module, moves it, takes it out or brings it back."""
        name = self.chance.choice(list(DEPENDS))
        act = self.chance.random()
        if act < 0.7:
            self.texts[name] = self.chance.randrange(3)
        elif act < 0.8:
            self.targets[name] = self.chance.choice([f"core.{name}", f"nn.{name}"])
        elif name in ("dense", "training", "setup"):  # on which nothing depends
            there = {*self.depends} ^ {name}
            self.depends = {each: DEPENDS[each] for each in DEPENDS if each in there}

    def vandalise(self) -> None:
        """Somebody changes the package by hand."""
        files = [path for path in sorted((self.root / "toy").rglob("*")) if path.is_file()]
        if files:
            victim = self.chance.choice(files)
            act = self.chance.randrange(4)
            if act == 0:
                victim.unlink()
            elif act == 1:
                victim.write_bytes(victim.read_bytes()[: self.chance.randrange(20)])
            elif act == 2:
                victim.with_name("stray.py").write_text("stray = 1\n")
            else:
                shutil.rmtree(victim.parent)

    def passes(self, entry: Entry) -> bool:
        """The outcome of a test run depends on the combination, and on luck once."""
        outcome = sha256(f"{entry.identity} {digest_of(dict(entry.scope))}".encode())
        return int(outcome, 16) % 5 > 0

    def run(self, course: Course) -> None:
        """Test and publish in course order, as the build does."""
        publisher = course.publisher()
        publisher.settle()
        passed: set[str] = set()
        for name, depends in self.depends.items():
            entry = course.staged_entry(name)
            if passed.issuperset(depends) and self.passes(entry):
                passed.add(name)
                publisher.qualify_and_settle(entry)
                self.check(course)
        if passed == self.depends.keys():
            staged = {f"{course.target(name).replace('.', '/')}.py" for name in self.depends}
            assert course.modules().keys() == staged

    def prove(self) -> None:
        """Note every run that could pass now, before a process that may be killed does them."""
        course = self.course()
        for name in self.depends:
            entry = course.staged_entry(name)
            if self.passes(entry):
                self.proofs.setdefault(entry.identity, []).append(entry.scope)

    def check(self, course: Course) -> None:
        """Each module that lies in the package was tested with the files that lie beside it."""
        targets = {
            path.removesuffix(".py").replace("/", "."): text for path, text in course.modules().items()
        }
        standing = {
            target.rpartition(".")[2]: identity(target, sha256(text.encode()))
            for target, text in targets.items()
        }
        assert len(standing) == len(targets)
        for name, found in standing.items():
            tested = self.proofs[found]
            assert any(
                all(standing.get(other) == then for other, then in scope.items()) for scope in tested
            ), name
        assert not targets or course.record_agrees()


@posix
@pytest.mark.parametrize("seed", range(4))
def test_whatever_happens_the_package_was_tested_as_it_stands(tmp_path: Path, seed: int) -> None:
    history = History(tmp_path, seed)
    published = 0
    for _ in range(12):
        for _ in range(history.chance.randrange(3)):
            history.change()
        history.prove()
        if history.chance.random() < 0.4:
            history.vandalise()
        if history.chance.random() < 0.5:
            die_at = history.chance.randrange(60)

            def work(at: int = die_at) -> None:
                course = history.course()
                course.on_step = killer(at)
                history.run(course)

            assert in_child(work) in (0, signal.SIGKILL)
        course = history.course()
        course.settle()
        history.check(course)
        history.run(course)
        history.check(course)
        published += len(course.modules())
        course.ledger.close()
    assert published > 20
