"""Publishing: a ledger of what passed with what, the consistent set, and the swap that puts it in place."""

from tinytorch_build.publish.consistent_set import Choice, choose, consistent_set, sound
from tinytorch_build.publish.entries import Entry, identity
from tinytorch_build.publish.init_file import SUBPACKAGE_INIT, render_init
from tinytorch_build.publish.ledger import Ledger
from tinytorch_build.publish.objects import ObjectStore
from tinytorch_build.publish.record import Record, UnreadableRecord, parse_record, render_record
from tinytorch_build.publish.settle import Publisher, Settlement, settle
from tinytorch_build.publish.swap import recover
from tinytorch_build.publish.tree import RECORD_NAME

__all__ = [
    "RECORD_NAME",
    "SUBPACKAGE_INIT",
    "Choice",
    "Entry",
    "Ledger",
    "ObjectStore",
    "Publisher",
    "Record",
    "Settlement",
    "UnreadableRecord",
    "choose",
    "consistent_set",
    "identity",
    "parse_record",
    "recover",
    "render_init",
    "render_record",
    "settle",
    "sound",
]
