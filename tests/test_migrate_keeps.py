"""A migration changes what it says, and nothing else: objects, sharing, strides and keys of what it does not touch stay."""

import pytest

torch = pytest.importorskip("torch")

from migrating import migrated, migrated_file  # noqa: E402  needs torch

from ckptlint.commands.migrate import Request, migrate  # noqa: E402
from ckptlint.errors import OutputError, PlanError, UsageError  # noqa: E402

RENAME = 'rewrites:\n- rename: {"{x}": "new_{x}"}\n'
FLIP = "rewrites:\n- {from: a, to: b, ops: [{flip: {dim: 0}}]}\n"
SPLIT = "rewrites:\n- {from: a, to: [b, c], ops: [{split: {dim: 0, parts: 2}}]}\n"


def one_storage(*tensors):
    return len({tensor.untyped_storage().data_ptr() for tensor in tensors}) == 1


class Holder:
    pass


class Special(torch.Tensor):
    pass


def test_names_of_one_tensor_stay_objects_of_their_own_classes(tmp_path):
    parameter = torch.nn.Parameter(torch.arange(4.0))
    marked = torch.arange(3.0)
    marked.note = "kept"
    state = {"plain": parameter.detach(), "own": parameter, "same": parameter, "m": marked, "v": marked.view(3)}
    result = migrated(tmp_path, state, RENAME)
    assert [type(value) for value in result.values()] == [type(value) for value in state.values()]
    assert result["new_own"] is result["new_same"]
    assert result["new_own"] is not result["new_plain"]
    assert one_storage(result["new_plain"], result["new_own"])
    assert result["new_m"].note == "kept"
    assert not hasattr(result["new_v"], "note")


def test_names_that_a_migration_ties_are_one_object(tmp_path):
    state = {"a": torch.nn.Parameter(torch.ones(2)), "b": torch.ones(2)}
    result = migrated(tmp_path, state, "rewrites:\n- tie: [a, b]\n")
    assert result["a"] is result["b"]
    copied = migrated(tmp_path, {"a": torch.nn.Parameter(torch.ones(2))}, "rewrites:\n- copy: {a: b, as: tie}\n")
    assert copied["a"] is copied["b"]


def test_keys_that_are_no_text_stay_what_they_are(tmp_path):
    state = {0: "integer", "w": torch.ones(2), "0": "text", None: 1, (1, "x"): 2, 1.5: 3}
    result = migrated(tmp_path, state, "rewrites:\n- rename: {w: v}\n")
    assert list(result) == [0, "v", "0", None, (1, "x"), 1.5]
    assert [result[key] for key in (0, "0", None, (1, "x"), 1.5)] == ["integer", "text", 1, 2, 3]


def test_overlapping_views_stay_views_of_one_storage(tmp_path):
    base, wide = torch.arange(10.0), torch.arange(12.0).view(3, 4)
    state = {"low": base[:6], "high": base[4:], "alone": torch.arange(100.0)[3:5], "w": wide, "t": wide.t()}
    result = migrated(tmp_path, state, RENAME)
    assert one_storage(result["new_low"], result["new_high"])
    assert result["new_low"].untyped_storage().nbytes() == 40
    result["new_low"][5] = -1
    assert result["new_high"].tolist() == [4, -1, 6, 7, 8, 9]
    assert result["new_alone"].untyped_storage().nbytes() == 8
    assert one_storage(result["new_w"], result["new_t"])
    assert torch.equal(result["new_t"], wide.t())


def test_views_that_would_take_more_room_together_lie_apart(tmp_path):
    rows = torch.arange(4000.0).view(1000, 4)
    result = migrated(tmp_path, {"one": rows[:, 0], "other": rows[:, 2]}, RENAME)
    assert torch.equal(result["new_one"], rows[:, 0])
    assert torch.equal(result["new_other"], rows[:, 2])
    assert result["new_one"].untyped_storage().nbytes() == 4000


def test_what_lies_beside_the_weights_shares_storage_as_before(tmp_path):
    flat, holder = torch.arange(10.0), Holder()
    holder.part = flat[2:4]
    typed = torch.storage.TypedStorage(wrap_storage=flat.untyped_storage(), dtype=torch.float32, _internal=True)
    value = {"model": {"a": torch.ones(2)}, "flat": [flat, flat[5:]], "holder": holder, "storage": typed}
    result = migrated(tmp_path, value, RENAME)
    assert one_storage(*result["flat"], result["holder"].part)
    assert result["storage"]._untyped_storage.data_ptr() == result["flat"][0].untyped_storage().data_ptr()
    assert torch.equal(result["holder"].part, flat[2:4])


def test_what_several_sections_make_of_one_tensor_is_one_tensor(tmp_path):
    weight = torch.arange(6.0)
    value = {"model": {"a": weight}, "ema": {"a": weight}, "swa": {"a": weight.clone()}}
    result = migrated(tmp_path, value, SPLIT)
    assert one_storage(result["model"]["b"], result["ema"]["b"])
    assert not one_storage(result["model"]["b"], result["swa"]["b"])
    new = migrated(tmp_path, value, "rewrites:\n- new: {key: z, shape: [2], dtype: f32, fill: zeros}\nrest: keep\n")
    assert not one_storage(new["model"]["z"], new["ema"]["z"])


def test_a_whole_module_becomes_plain_tensors(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    result = migrated(tmp_path, model, "rewrites:\n- keep: '**'\n")
    assert list(result) == list(model.state_dict())
    assert all(type(value) is torch.Tensor and not value.requires_grad for value in result.values())
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in result.items())


def test_computed_tensors_stay_on_their_device(tmp_path):
    result = migrated_file(tmp_path, _on_cuda(tmp_path), SPLIT)
    devices = []
    torch.load(result, map_location=lambda storage, location: devices.append(location) or storage)
    assert devices == ["cuda:0", "cuda:0"]


def _on_cuda(folder):
    """A file as a machine with a GPU writes it."""
    import io
    import zipfile

    buffer = io.BytesIO()
    torch.save({"a": torch.arange(6.0)}, buffer)
    path = folder / "cuda.pt"
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("data.pkl"):
                content = content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
            new.writestr(name, content)
    return path


@pytest.mark.parametrize("view", [lambda x: x.conj(), lambda x: x.conj().imag])
def test_conjugate_and_negative_views_are_never_taken_for_their_bytes(tmp_path, view):
    value = view(torch.tensor([1 + 2j, 3 - 1j]))
    assert torch.equal(migrated(tmp_path, {"a": value}, RENAME)["new_a"], value)
    torch.save({"a": value}, tmp_path / "lazy.pt")
    for body, suffix in [(FLIP, ".pt"), (RENAME, ".safetensors")]:
        with pytest.raises(PlanError, match="other than the bytes"):
            migrated_file(tmp_path, tmp_path / "lazy.pt", body, suffix=suffix)


def test_a_tensor_and_its_conjugate_are_not_one(tmp_path):
    value = torch.tensor([1 + 2j, 3 - 1j])
    state = {"a": value, "b": value.conj()}
    result = migrated(tmp_path, state, RENAME)
    assert all(torch.equal(result[f"new_{key}"], state[key]) for key in state)
    assert one_storage(*result.values())


def test_repeated_elements_are_not_written_out_unasked(tmp_path):
    torch.save({"a": torch.ones(1000, 1).expand(1000, 1000), "w": torch.ones(3)}, tmp_path / "wide.pt")
    kept = torch.load(migrated_file(tmp_path, tmp_path / "wide.pt", RENAME))
    assert kept["new_a"].stride() == (1, 0)
    assert kept["new_a"].untyped_storage().nbytes() == 4000
    flip = "rewrites:\n- {from: a, to: b, ops: [{flip: {dim: 0}}]}\nrest: keep\n"
    for body, suffix in [(RENAME, ".safetensors"), (flip, ".pt")]:
        with pytest.raises(OutputError, match="a shows the same elements many times") as caught:
            migrated_file(tmp_path, tmp_path / "wide.pt", body, suffix=suffix)
        assert "--allow-expand" in caught.value.hint
        written = migrated_file(tmp_path, tmp_path / "wide.pt", body, suffix=suffix, allow_expand=True)
        assert written.stat().st_size > 4_000_000


def test_a_little_repetition_is_no_matter(tmp_path):
    torch.save({"a": torch.ones(1).expand(3, 5)}, tmp_path / "small.pt")
    assert migrated_file(tmp_path, tmp_path / "small.pt", RENAME, suffix=".safetensors").exists()


def test_safetensors_loses_nothing_unasked(tmp_path):
    torch.save({"model": {"a": torch.ones(2)}, "epoch": 3}, tmp_path / "nested.pt")
    with pytest.raises(UsageError, match=r"holds one state dict and nothing else, .* holds /model, /epoch") as caught:
        migrated_file(tmp_path, tmp_path / "nested.pt", RENAME, suffix=".safetensors")
    assert "--section /model" in caught.value.hint
    assert migrated_file(tmp_path, tmp_path / "nested.pt", RENAME, suffix=".safetensors", section="/model").exists()
    torch.save({"a": torch.ones(2), "epoch": 3}, tmp_path / "flat.pt")
    with pytest.raises(OutputError, match="that are no tensors: epoch"):
        migrated_file(tmp_path, tmp_path / "flat.pt", RENAME, suffix=".safetensors")


def test_state_dicts_that_no_rewrite_is_about_stay_as_they_are(tmp_path, capsys):
    weights = {"a.w": torch.ones(2), "b.w": torch.ones(2)}
    value = {
        "stats": {"mean": torch.zeros(1)},
        "model": weights,
        "best": {"a.w": torch.zeros(2), "b.w": torch.zeros(2)},
    }
    rename = 'rewrites:\n- rename: {"{x}.w": "{x}.v"}\n'
    result = migrated(tmp_path, value, rename)
    assert [list(result[key]) for key in value] == [["mean"], ["a.v", "b.v"], ["a.v", "b.v"]]
    assert "/stats stays as it is" in capsys.readouterr().err
    torch.save(result, tmp_path / "new.pt")
    back = torch.load(migrated_file(tmp_path, tmp_path / "new.pt", rename, reverse=True))
    assert [list(back[key]) for key in value] == [["mean"], ["a.w", "b.w"], ["a.w", "b.w"]]
    added = migrated(tmp_path, value, "rewrites:\n- new: {key: z, shape: [1], dtype: f32, fill: zeros}\nrest: keep\n")
    assert [("z" in added[key]) for key in value] == [False, True, True]


def test_a_state_dict_that_the_migration_does_not_fit_is_named(tmp_path):
    torch.save({"one": {"a": torch.ones(2)}, "other": {"a": torch.ones(3)}}, tmp_path / "two.pt")
    with pytest.raises(PlanError) as caught:
        migrated_file(tmp_path, tmp_path / "two.pt", "rewrites:\n- {from: a, to: [b, c], ops: [split: {parts: 2}]}\n")
    assert "this is about /other; --section" in caught.value.hint


def test_entries_that_are_no_tensors_stay_among_their_neighbours(tmp_path):
    state = {"n0": 0, "a": torch.ones(2), "n1": 1, "b": torch.ones(2), "n2": 2}
    split = "- {from: a, to: [c, d], ops: [split: {parts: 2}]}\n"
    new = "- new: {key: z, shape: [1], dtype: f32, fill: zeros}\n"
    assert list(migrated(tmp_path, state, f"rewrites:\n{split}{new}rest: keep\n")) == [
        "n0",
        "c",
        "d",
        "n1",
        "b",
        "n2",
        "z",
    ]
    swap = "rewrites:\n- {from: [a, b], to: [y, x], ops: [order: [1, 0]]}\n"
    assert list(migrated(tmp_path, state, swap)) == ["n0", "x", "n1", "y", "n2"]


def test_keys_and_dtypes_that_a_format_cannot_hold_are_named(tmp_path):
    keep = "rewrites:\n- keep: '**'\n"
    for key, words in [("\ud800", r"'\\ud800' is no text"), ("__metadata__", "named __metadata__")]:
        torch.save({key: torch.ones(1)}, tmp_path / "odd.pt")
        assert list(torch.load(migrated_file(tmp_path, tmp_path / "odd.pt", keep))) == [key]
        with pytest.raises(OutputError, match=words):
            migrated_file(tmp_path, tmp_path / "odd.pt", keep, suffix=".safetensors")
    torch.save({"w": torch.ones(1, dtype=torch.complex128)}, tmp_path / "odd.pt")
    with pytest.raises(OutputError, match="w is c128, which safetensors cannot hold"):
        migrated_file(tmp_path, tmp_path / "odd.pt", keep, suffix=".safetensors")
    header = b'{"w":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}}'
    (tmp_path / "six.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"abc")
    with pytest.raises(OutputError, match="w is f6e2m3, of which torch has no tensors"):
        migrated_file(tmp_path, tmp_path / "six.safetensors", keep)
    output = migrated_file(tmp_path, tmp_path / "six.safetensors", keep, suffix=".safetensors")
    assert output.read_bytes().endswith(b"abc")


@pytest.mark.parametrize("tie", ["", ", as: tie"])
def test_a_copy_in_a_scope_that_moves_goes_with_it_and_comes_back(tie, tmp_path):
    old = {f"a.{i}.{name}": torch.randn(2) for i in range(2) for name in "xz"}
    torch.save(old, tmp_path / "old.pt")
    body = f'rewrites: [{{scope: {{"a.{{i:int}}": "b.{{i+1}}"}}, rewrites: [{{copy: {{x: y{tie}}}}}, {{keep: z}}]}}]'
    (tmp_path / "m.yaml").write_text(f"ckptlint: 1\n{body}\n")
    places = [str(tmp_path / name) for name in ("old.pt", "m.yaml", "new.pt", "back.pt")]
    migrate(Request(places[0], (places[1],), places[2]))
    new = torch.load(places[2])
    assert list(new) == [f"b.{i}.{name}" for i in (1, 2) for name in "xyz"]
    assert all(
        torch.equal(new[f"b.{i + 1}.{name}"], old[f"a.{i}.{own}"]) for i in (0, 1) for name, own in ("xx", "yx", "zz")
    )
    assert (new["b.1.x"].data_ptr() == new["b.1.y"].data_ptr()) == bool(tie)
    migrate(Request(places[2], (places[1],), places[3], reverse=True))
    back = torch.load(places[3])
    assert list(back) == list(old)
    assert all(torch.equal(back[key], old[key]) for key in old)
