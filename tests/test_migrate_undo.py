"""An undo file and the output give the old checkpoint back: the same graph, the same order, the same bits, and nothing else is believed."""

import random

import pytest

torch = pytest.importorskip("torch")

from cli import ckptlint  # noqa: E402
from migrating import write_migration  # noqa: E402  needs torch
from random_changes import CHANGES  # noqa: E402
from same_objects import differences  # noqa: E402
from test_migrate_differential import Case, _average, _optimizer, load, saved  # noqa: E402

from ckptlint.commands.migrate import Request, migrate  # noqa: E402
from ckptlint.errors import FormatError, OutputError, PlanError, UsageError  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
LOSSY = """

rewrites:
- {from: emb.weight, to: tok.weight, ops: [{slice: {dim: 0, start: 2, stop: 7}}]}
- {from: emb.every, to: tok.every, ops: [{slice: {dim: 1, start: 1, step: 2}}]}
- {from: emb.few, to: tok.few, ops: [{index: {dim: 0, ids: [4, 1, 1]}}]}
- {from: emb.names, to: tok.names, ops: [{remap_rows: {old: [a, b, c], new: [c, x, a], missing: mean}}]}
- {from: qkv, to: [q, k, v], ops: [{split: {dim: 0, parts: 3}}]}
- {from: cast, to: cast, ops: [{cast: {dtype: bf16}}]}
- {from: turned, to: turned, ops: [{rearrange: "a b -> b a"}, {affine: {scale: 2.0, shift: 1.0}}]}
- {from: [lora.w, lora.a, lora.b], to: lora, ops: [{merge_lora: {alpha: 4}}]}
- {from: [bn.w, bn.g, bn.b, bn.m, bn.v], to: [conv.w, conv.b], ops: [{fuse_batch_norm: {eps: 1.0e-5}}]}
- {from: mean, to: mean, ops: [{reduce: {dim: 0, how: mean}}]}
- {from: "exp.{e:int}", to: experts, over: e, ops: [{stack: {over: e, dim: 0}}, {cast: {dtype: f16}}]}
- drop: {keys: gone, reason: no longer used}
stages:
- rewrites:
  - drop: {keys: k, reason: folded elsewhere}
  rest: keep
rest: keep
tree:
- set: {/epoch: 0}
- delete: {paths: /junk, reason: debris}
- rename: {/cfg: /config}
"""


def weights(seed=0):
    torch.manual_seed(seed)
    shapes = {
        "emb.weight": (10, 4),
        "emb.every": (3, 5),
        "emb.few": (6, 2),
        "emb.names": (5, 2),
        "qkv": (12, 4),
        "gone": (3,),
        "cast": (6, 4),
        "turned": (4, 6),
        "mean": (4, 3),
        "as.it.is": (2, 2),
        **{f"lora.{name}": shape for name, shape in {"w": (4, 6), "a": (2, 6), "b": (4, 2)}.items()},
        **{
            f"bn.{name}": shape
            for name, shape in {"w": (4, 2, 3, 3), "g": (4,), "b": (4,), "m": (4,), "v": (4,)}.items()
        },
        **{f"exp.{number}": (2, 3) for number in range(3)},
    }
    made = {key: torch.rand(shape) + 0.5 for key, shape in shapes.items()}
    made["turned"] = made["turned"].t().contiguous().t()
    made["alias"] = made["as.it.is"]
    return made


def training():
    return {
        "junk": {"t": torch.arange(3), "why": None},
        "model": weights(),
        "ema": weights(1),
        "epoch": 7,
        "cfg": {"a": 1, "b": (2, [3.5])},
    }


def there_and_back(folder, source, bodies, *, suffix=".pt", back=".pt", **more):
    """Migrate with an undo file, and return what comes back; the paths of all three."""
    files = [str(write_migration(folder, body)) for body in bodies]
    output, undo, old = folder / f"new{suffix}", folder / "the.undo", folder / f"back{back}"
    migrate(Request(str(source), files, str(output), undo_file=str(undo), **more))
    done = migrate(Request(str(output), [], str(old), reverse=True, undo_file=str(undo)))
    assert done.written is not None
    return output, undo, old


def test_every_loss_is_undone(tmp_path):
    source = tmp_path / "old.pt"
    torch.save(training(), source)
    output, undo, back = there_and_back(tmp_path, source, [LOSSY])
    assert "junk" not in load(output)
    assert differences(load(source), load(back)) == []
    kept = torch.load(undo, weights_only=True)  # an ordinary file, which anyone may look into
    assert kept["/model/gone"].shape == (3,)


def test_only_what_the_output_lacks_is_kept(tmp_path):
    source = tmp_path / "old.pt"
    torch.save({"model": weights()}, source)
    body = (
        "rewrites:\n- {from: emb.weight, to: tok, ops: [{slice: {dim: 0, start: 2, stop: 7}}]}\n"
        "- {from: qkv, to: [q, k, v], ops: [{split: {dim: 0, parts: 3}}]}\n"
        "- {from: mean, to: mean, ops: [{rearrange: 'a b -> b a'}]}\n- drop: {keys: gone, reason: x}\n"
        "stages:\n- rewrites:\n  - drop: {keys: v, reason: x}\n  rest: keep\nrest: keep\n"
    )
    _, undo, back = there_and_back(tmp_path, source, [body])
    kept = {tuple(tensor.shape) for tensor in torch.load(undo).values()}
    assert kept == {(2, 4), (3, 4), (4, 4), (3,)}  # rows before and behind, v, and what was dropped
    assert differences(load(source), load(back)) == []


@pytest.mark.parametrize("seed", range(12))
def test_random_checkpoints_come_back(seed, tmp_path):
    case = Case(seed, kinds=CHANGES)
    rng = random.Random(seed)
    value = {"epoch": 3, "model": case.state, "cfg": case.objects.made(4), "rng": [torch.arange(5)]}
    if rng.random() < 0.6:
        value["ema"] = _average(case.state, rng)
    if rng.random() < 0.6:
        value["optimizer"] = _optimizer(case.state)
    source = tmp_path / "old.pt"
    saved(value, source)
    tree = "tree:\n- delete: {paths: /rng, reason: x}\n- set: {/epoch: 0}\n"
    *first, last = case.bodies()
    _, _, back = there_and_back(tmp_path, source, [*first, last + tree])
    assert differences(load(source), load(back)) == []


@pytest.mark.parametrize("suffix", [".safetensors", ".dcp", ".safetensors.index.json"])
def test_the_output_may_be_of_another_format(suffix, tmp_path):
    source = tmp_path / "old.pt"
    torch.save(weights(), source)
    body = LOSSY.partition("tree:")[0]
    _, _, back = there_and_back(tmp_path, source, [body], suffix=suffix)
    assert differences(load(source), load(back)) == []


def test_a_safetensors_file_comes_back_with_its_metadata(tmp_path):
    from safetensors import safe_open
    from safetensors.torch import save_file

    source = tmp_path / "old.safetensors"
    save_file(
        {key: value.contiguous().clone() for key, value in weights().items()}, source, {"format": "pt", "who": "me"}
    )
    _, _, back = there_and_back(
        tmp_path, source, [LOSSY.partition("tree:")[0]], suffix=".safetensors", back=".safetensors"
    )
    with safe_open(source, "pt") as old, safe_open(back, "pt") as new:
        assert old.metadata() == new.metadata()
        assert list(old.keys()) == list(new.keys())
        assert all(torch.equal(old.get_tensor(key), new.get_tensor(key)) for key in old.keys())  # noqa: SIM118  no mapping


@pytest.fixture
def migrated(tmp_path):
    source = tmp_path / "old.pt"
    torch.save({"model": weights()}, source)
    migration = write_migration(tmp_path, LOSSY.partition("tree:")[0])
    output, undo = tmp_path / "new.pt", tmp_path / "the.undo"
    migrate(Request(str(source), [str(migration)], str(output), undo_file=str(undo)))
    return source, migration, output, undo


def back(output, undo, **more):
    return migrate(
        Request(
            str(output),
            more.pop("migrations", []),
            str(output.parent / "back.pt"),
            reverse=True,
            undo_file=str(undo),
            **more,
        )
    )


def test_an_output_that_changed_is_refused_by_name(migrated, tmp_path):
    _, _, output, undo = migrated
    value = torch.load(output)
    value["model"]["q"][0, 0] += 1
    torch.save(value, output)
    with pytest.raises(PlanError, match="/model/q: not what the migration wrote"):
        back(output, undo)
    assert not (tmp_path / "back.pt").exists()


def test_what_torch_saved_again_is_still_its_output(migrated, tmp_path):
    source, _, output, undo = migrated
    torch.save(torch.load(output), output)
    back(output, undo)
    assert differences(load(source), load(tmp_path / "back.pt")) == []


def test_other_migrations_are_refused_and_the_right_ones_are_not(migrated, tmp_path):
    _, migration, output, undo = migrated
    other = write_migration(tmp_path, "rest: keep\n")
    with pytest.raises(PlanError, match="written by other migrations"):
        back(output, undo, migrations=[str(other)])
    back(output, undo, migrations=[str(migration)])


def test_what_is_no_undo_file_is_refused(migrated):
    source, _, output, _ = migrated
    with pytest.raises(FormatError, match="is no undo file"):
        back(output, source)


@pytest.mark.parametrize("part", range(16))
def test_a_damaged_undo_file_gives_nothing_or_all(part, migrated, tmp_path):
    source, _, output, undo = migrated
    content = bytearray(undo.read_bytes())
    content[len(content) * part // 16 + 7] ^= 0x55
    undo.write_bytes(content)
    try:
        back(output, undo)
    except (FormatError, OutputError):
        assert not (tmp_path / "back.pt").exists()
    else:
        assert differences(load(source), load(tmp_path / "back.pt")) == []


def test_neither_file_appears_without_the_other(migrated, tmp_path, monkeypatch):
    from ckptlint.formats import atomic

    source, migration, *_ = migrated
    real = atomic.move_in

    def fails(temporary, path, *, replace):
        if path.endswith("second.pt"):
            raise OSError(5, "Input/output error")
        real(temporary, path, replace=replace)

    monkeypatch.setattr(atomic, "move_in", fails)
    with pytest.raises(OutputError):
        migrate(
            Request(str(source), [str(migration)], str(tmp_path / "second.pt"), undo_file=str(tmp_path / "second.undo"))
        )
    assert not list(tmp_path.glob("*second*"))


def test_places_are_checked_before_work(migrated, tmp_path):
    source, migration, _, undo = migrated
    with pytest.raises(UsageError, match="exists already"):
        migrate(Request(str(source), [str(migration)], str(tmp_path / "b.pt"), undo_file=str(undo)))
    with pytest.raises(UsageError, match="are one file"):
        migrate(Request(str(source), [str(migration)], str(tmp_path / "b.pt"), undo_file=str(tmp_path / "b.pt")))
    with pytest.raises(UsageError, match="the output is the input"):
        migrate(Request(str(source), [str(migration)], str(tmp_path / "b.pt"), undo_file=str(source), force=True))
    with pytest.raises(UsageError, match="in-place"):
        migrate(Request(str(source), [str(migration)], in_place=True, undo_file=str(tmp_path / "u")))


def test_a_chain_leads_back_through_its_undo_file(tmp_path):
    chain = tmp_path / "chain"
    chain.mkdir()
    (chain / "0001_cut.yaml").write_text(
        "ckptlint: 1\nsummary: cut\nrewrites:\n- {from: w, to: w, ops: [{slice: {dim: 0, stop: 2}}]}\nrest: keep\ntree:\n- set: {/v: 1}\n"
    )
    source, output = tmp_path / "old.pt", tmp_path / "new.pt"
    torch.save({"model": {"w": torch.arange(8.0).reshape(4, 2), "b": torch.ones(2)}, "v": 0}, source)
    ckptlint(tmp_path, "migrate", source, "-o", output, "--chain", chain, "--from", "base", "--undo-file", "the.undo")
    ckptlint(
        tmp_path,
        "migrate",
        output,
        "-o",
        "back.pt",
        "--chain",
        chain,
        "--to",
        "base",
        "--from",
        "head",
        "--undo-file",
        "the.undo",
    )
    assert differences(load(source), load(tmp_path / "back.pt")) == []


def test_a_dry_run_says_what_would_be_kept(migrated, tmp_path):
    source, migration, output, undo = migrated
    said = ckptlint(tmp_path, "migrate", source, "-m", migration, "--undo-file", "other", "--dry-run").stdout
    assert "an undo file would keep" in said
    assert not (tmp_path / "other").exists()
    said = ckptlint(tmp_path, "migrate", output, "--reverse", "--undo-file", undo, "--dry-run").stdout
    assert "made of both" in said
