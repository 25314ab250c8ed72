"""What a real run of four ranks saves, in every way torch has, is read as torch gathers it."""

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

if not (torch.distributed.is_available() and torch.distributed.is_gloo_available() and sys.platform == "linux"):
    pytest.skip("torch has no gloo here", allow_module_level=True)

from formats.dcp_folders import loaded  # noqa: E402  these need torch
from migrating import migrated_file  # noqa: E402
from same_objects import differences  # noqa: E402

from ckptlint.core.tree import Tensor  # noqa: E402
from ckptlint.errors import FormatError  # noqa: E402
from ckptlint.formats import open_checkpoint  # noqa: E402

KEEP = "rewrites: []\nrest: keep\n"
FOLDERS = ["fsdp2", "hsdp", "tensor", "fsdp1", "fsdp1_flat"]
pytestmark = pytest.mark.filterwarnings("ignore")  # what torch says of its own classes


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    if not hasattr(torch.distributed, "fsdp") or not hasattr(torch.distributed.checkpoint, "HuggingFaceStorageWriter"):
        pytest.skip("an older torch saves in fewer ways")
    folder = tmp_path_factory.mktemp("run")
    made = [sys.executable, str(Path(__file__).with_name("distributed_run.py")), str(folder)]
    subprocess.run(made, check=True, capture_output=True)
    return folder


def read(tmp_path, folder):
    return torch.load(migrated_file(tmp_path, folder, KEEP), weights_only=False)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_what_torch_makes_of_it(run, tmp_path, name):
    assert differences(read(tmp_path, run / name), loaded(run / name)) == []


@pytest.mark.parametrize("name", FOLDERS)
def test_the_files_of_all_ranks_are_the_same_tensors(run, tmp_path, name):
    """Torch itself cannot put them together: the folder that the same run wrote says what they are."""
    found, wanted = (dict(leaves(state)) for state in (read(tmp_path, run / f"{name}_ranks"), loaded(run / name)))
    assert unlike(found, wanted) == []


def test_what_each_rank_described_for_itself_is_one_checkpoint(run, tmp_path):
    found, wanted = (dict(leaves(state)) for state in (read(tmp_path, run / "apart"), torch.load(run / "truth.pt")))
    assert unlike(found, wanted) == []


def test_a_rank_that_is_missing_leaves_a_hole(run, tmp_path):
    folder = tmp_path / "apart"
    folder.mkdir()
    for path in (run / "apart").iterdir():
        if not path.name.startswith("__2"):
            (folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(FormatError, match=r"no chunk of 'model\.0\.weight' holds") as caught:
        open_checkpoint(folder)
    assert caught.value.rule == "CKC621"


@pytest.mark.parametrize("name", ["tables", "parts"])
def test_parts_in_safetensors_are_whole_again(run, tmp_path, name):
    wanted = torch.load(run / "truth.pt")["model"]
    found = read(tmp_path, run / name)
    assert unlike(dict(leaves(found.get("model", found))), dict(leaves(dict(wanted)))) == []


def test_a_part_that_is_missing_is_named(run, tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    for path in (run / "parts").iterdir():
        if not path.name.startswith("shard-00003"):
            (folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(FormatError, match="none of rank 3"):
        open_checkpoint(folder)


def test_a_range_of_rows_is_read_from_its_parts_alone(run):
    checkpoint = open_checkpoint(run / "fsdp2_ranks")
    tensor = checkpoint.sections[0].tensors["0.weight"]
    assert isinstance(tensor, Tensor)
    wanted = torch.load(run / "truth.pt")["model"]["0.weight"][2:9]
    width = 6 * 4
    assert checkpoint.read(tensor.storage, 2 * width, 7 * width) == wanted.numpy().tobytes()
    checkpoint.close()


def unlike(found, wanted):
    """The keys that only one has, or whose values differ."""
    both = found.keys() & wanted.keys()
    return sorted(found.keys() ^ wanted.keys()) + sorted(key for key in both if differences(found[key], wanted[key]))


def leaves(value, place=""):
    """Values by their path: the order of keys is that of the ranks, which torch sorts otherwise in each way of saving."""
    if isinstance(value, dict | list) and value:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, f"{place}/{key}")
    else:
        yield place, value
