"""Random checkpoints and random migrations: what torch loads from the output is what the same change gives when done by hand in torch.

`CKPTLINT_DIFFERENTIAL=2000` runs that many cases of each kind instead of a few; a failing seed is the test's name.
"""

import collections
import itertools
import json
import os
import random
import warnings

import pytest

torch = pytest.importorskip("torch")

from migrating import migrated_file, write_migration  # noqa: E402  these need torch
from random_changes import CHANGES, Result, keep, untie  # noqa: E402
from random_objects import Objects  # noqa: E402
from random_tensors import Layouts  # noqa: E402
from same_objects import differences, same_bits  # noqa: E402

from ckptlint.commands.migrate import Request, migrate  # noqa: E402
from ckptlint.errors import PlanError  # noqa: E402

MORE = int(os.environ.get("CKPTLINT_DIFFERENTIAL", "0"))
UNTIED = tuple(change for change in CHANGES if change is not untie)  # for formats in which nothing is tied
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


def seeds(few):
    return pytest.mark.parametrize("seed", range(MORE or few))


class Case:
    """A state dict and a migration of it, in stages: `files[n][m]` are the changes of stage m of file n."""

    def __init__(self, seed, *, others=True, kinds=CHANGES):
        self.rng = random.Random(seed)
        self.layouts = Layouts(self.rng)
        self.objects = Objects(self.rng, self.layouts)
        names = (f"m{number}" for number in itertools.count())
        self.files = [
            [self._changes(names, kinds, first=file == stage == 0) for stage in range(self.rng.choice((1, 1, 2)))]
            for file in range(self.rng.choice((1, 1, 2)))
        ]
        self.added = f"net{seed % 7}." if self.rng.random() < 0.3 else ""
        self.changes = [change for stages in self.files for stage in stages for change in stage]
        self.state = self._state(others=others)
        self.memo = {}

    def _changes(self, names, kinds, *, first):
        chosen = [self.rng.choice(kinds) for _ in range(self.rng.randrange(4))]
        return [kind(self.rng, next(names), self.layouts) for kind in ([keep] if first else []) + chosen]

    def _state(self, *, others):
        entries = [pair for change in self.changes for pair in change.state.items()]
        movable = [value for change in self.changes if change.movable for value in change.state.values()]
        for number in range(self.rng.randrange(3) if movable else 0):
            value = self.rng.choice(movable)
            entries.append((f"alias{number}", value if self.rng.random() < 0.5 else value.detach()))
        self.rng.shuffle(entries)
        for number in range(self.rng.randrange(4) if others else 0):
            key = self.rng.choice((f"extra{number}", number, ("t", number)))
            value = self.objects.made(2)
            value = [value] if isinstance(value, torch.Tensor | dict) else value
            entries.insert(self.rng.randrange(len(entries) + 1), (key, value))
        kind = self.rng.choice((dict, collections.OrderedDict))
        state = kind(entries)
        if kind is collections.OrderedDict and self.rng.random() < 0.7:
            state._metadata = collections.OrderedDict({"": {"version": 1}})
        return state

    def bodies(self):
        """The migration files' texts."""
        texts = []
        for stages in self.files:
            parts = [f"rewrites:\n{self._yaml(stages[0])}rest: keep\n"]
            if len(stages) > 1:
                inner = "".join(f"    {line}\n" for line in self._yaml(stages[1]).splitlines())
                parts.append(f"stages:\n- rewrites:\n{inner}  rest: keep\n")
            texts.append("".join(parts))
        if self.added:
            texts.append(f'prefix: {{add: "{self.added}"}}\nrewrites:\n- keep: "**"\n')
        return texts

    def _yaml(self, stage):
        lines = [f"{change.yaml}\n" for change in stage]
        self_made = "".join(lines)
        return self_made or '- {rename: {"nothing.{p}": "never.{p}"}, optional: true}\n'

    @property
    def lossless(self):
        return all(change.lossless for change in self.changes)

    @property
    def back(self):
        """How what comes back is compared: bit for bit, or up to the rounding of casts."""
        return nearly if any(change.rounds for change in self.changes) else same_bits

    def by_hand(self, state):
        """The same change in plain Python."""
        for stages in self.files:
            for stage in stages:
                state = self._stage(state, stage)
        if not self.added:
            return state
        renamed = [
            (self.added + key if isinstance(value, torch.Tensor) else key, value) for key, value in state.items()
        ]
        return _like(state, renamed)

    def _stage(self, state, stage):
        place = {key: number for number, key in enumerate(state)}
        tensors = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
        results = [each for change in stage for each in map(self._shared(change, tensors), change.apply(tensors))]
        claimed = {key for change in stage for key in change.state}
        results += [Result(key, (key,), value) for key, value in tensors.items() if key not in claimed]
        placed = [
            (min(place[key] for key in each.sources), 1, each.key, each.tensor) for each in results if each.sources
        ]
        placed += [(place[key], 0, key, value) for key, value in state.items() if key not in tensors]
        placed.sort(key=lambda each: each[0])
        return _like(state, [each[2:] for each in placed] + [(e.key, e.tensor) for e in results if not e.sources])

    def _shared(self, change, tensors):
        """One operation on one tensor gives one tensor, in however many sections it stands."""
        numbers = itertools.count()

        def shared(result):
            number = next(numbers)
            if not (result.made and result.sources):
                return result
            mark = (id(change), number, *(_identity(tensors[key]) for key in result.sources))
            return self.memo.setdefault(mark, result)

        return shared


def _like(state, entries):
    new = type(state)(entries)
    assert len(new) == len(entries)
    if hasattr(state, "_metadata"):
        new._metadata = state._metadata
    return new


def _identity(tensor):
    storage = tensor.untyped_storage()
    return storage.data_ptr() or storage._cdata, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype


def load(path, **more):
    return torch.load(path, weights_only=False, **more)


def check(expected, result):
    assert differences(expected, result) == []
    check_aliases(*(list(found(value)) for value in (expected, result)))


def found(value):
    """Every dense tensor of a graph, in an order that equal graphs share."""
    seen, todo = set(), [value]
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, torch.Tensor):
            if each.layout is torch.strided and each.device.type == "cpu" and not each.is_quantized:
                yield each
        elif isinstance(each, dict):
            todo += each.values()
        elif isinstance(each, list | tuple | collections.deque):
            todo += each
        todo += getattr(each, "__dict__", {}).values()
        todo += [getattr(each, name) for name in ("left", "right") if hasattr(each, name)]


def check_aliases(expected, result):
    """Tensors that share elements still do, those that do not still do not; in dense storages without exception."""
    assert len(expected) == len(result)
    before, after = ([addresses(each) for each in tensors] for tensors in (expected, result))
    loose = {each.untyped_storage().data_ptr() for each in expected if not dense(each)}
    for one, other in itertools.combinations(range(len(expected)), 2):
        shared, shares = (bool(cells[one] & cells[other]) for cells in (before, after))
        same = _identity(expected[one]) == _identity(expected[other])
        if shares != shared and (shares or same or expected[one].untyped_storage().data_ptr() not in loose):
            raise AssertionError(f"tensors {one} and {other}: share elements {shares}, should be {shared}")


def addresses(tensor):
    cells = {tensor.data_ptr()} if tensor.numel() else set()
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        cells = {cell + n * stride * tensor.element_size() for cell in cells for n in range(size)}
    return cells


def dense(tensor):
    return len(addresses(tensor)) == tensor.numel() == _span(tensor)


def _span(tensor):
    return 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))


def check_strides(case, expected, result):
    """A tensor that was not computed keeps the order its elements lie in, where they lie dense."""
    for key, value in expected.items():
        if isinstance(value, torch.Tensor) and dense(value) and value.numel():
            assert result[key].stride() == value.stride(), key


def saved(value, path, *, legacy=False):
    """Save; the format of old only where it can hold the value."""
    try:
        torch.save(value, path, _use_new_zipfile_serialization=not legacy)
        load(path)
    except (RuntimeError, AttributeError):
        if not legacy:
            raise
        torch.save(value, path)


def migrated(case, folder, source, **more):
    return migrated_file(folder, source, *case.bodies(), **more)


def nearly(old, new):
    """Equal to three digits in the same dtype, which bf16 has."""
    if old.dtype not in (torch.float64, torch.float32, torch.float16):
        return same_bits(old, new)
    return old.dtype == new.dtype and torch.allclose(old.detach(), new.detach(), rtol=0.01, atol=0.01, equal_nan=True)


def check_reverse(case, folder, source, output, *, key=None):
    """There and back again is the identity, where nothing is lost."""
    files = [str(write_migration(folder, body)) for body in case.bodies()]
    back = folder / "back.pt"
    section = {} if key is None else {"section": f"/{key}"}
    request = Request(str(output), files, str(back), reverse=True, source=str(source), **section)
    if not case.lossless:
        with pytest.raises(PlanError):
            migrate(request)
        return
    migrate(request)
    before, after = (load(path) if key is None else load(path)[key] for path in (source, back))
    assert [key for key in before if _is_tensor(before, key)] == [key for key in after if _is_tensor(after, key)]
    assert all(case.back(before[key], after[key]) for key in before if _is_tensor(before, key))


def _is_tensor(state, key):
    return isinstance(state[key], torch.Tensor)


@seeds(60)
def test_a_state_dict(seed, tmp_path):
    case = Case(seed)
    source = tmp_path / "old.pt"
    saved(case.state, source, legacy=case.rng.random() < 0.3)
    output = migrated(case, tmp_path, source)
    check(case.by_hand(load(source)), load(output))
    check_modes(source, output)
    check_reverse(case, tmp_path, source, output)


def check_modes(source, output):
    """Every way in which torch loads the source loads the output too, and gives the same."""
    whole = load(output)
    check(whole, load(output, mmap=True))
    try:
        torch.load(source, weights_only=True)
        torch.load(source, weights_only=True, map_location="meta")
    except Exception:  # noqa: BLE001  whatever torch objects to in the source, it may object to in the output
        return
    assert differences(whole, torch.load(output, weights_only=True)) == []
    shapes = torch.load(output, weights_only=True, map_location="meta")
    assert all(shapes[key].shape == whole[key].shape for key in whole if _is_tensor(whole, key))


@seeds(60)
def test_a_nested_checkpoint(seed, tmp_path):
    case = Case(seed)
    rng, objects = case.rng, case.objects
    value = {
        "epoch": 3,
        "model": case.state,
        "cfg": objects.made(4),
        "history": [objects.made(2)],
        "rng": [torch.arange(5)],
    }
    if rng.random() < 0.5:
        value["ema"] = _average(case.state, rng)
    if rng.random() < 0.5:
        value["optimizer"] = _optimizer(case.state)
    entries = list(value.items())
    rng.shuffle(entries)
    value = dict(entries)
    source = tmp_path / "old.pt"
    saved(value, source)
    output = migrated(case, tmp_path, source)
    check(_whole_by_hand(case, load(source)), load(output))
    check(load(output), load(output, mmap=True))
    check_reverse(case, tmp_path, source, output, key="model")


def _average(state, rng):
    """Another copy of the weights, which may still share some tensors with them."""
    entries = []
    for key, value in state.items():
        own = rng.random() < 0.5 and isinstance(value, torch.Tensor)
        entries.append((key, value.detach().clone() if own else value))
    by_identity = {}
    return {
        key: by_identity.setdefault(_identity(state[key]), value) if isinstance(value, torch.Tensor) else value
        for key, value in entries
    }


def _optimizer(state):
    weights = [value for value in state.values() if isinstance(value, torch.Tensor)]
    moments = {n: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(value.shape)} for n, value in enumerate(weights)}
    return {"state": moments, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.99), "params": list(moments)}]}


def _whole_by_hand(case, value):
    result = dict(value)
    for key in ("model", "ema"):
        if key in value:
            result[key] = case.by_hand(value[key])
    states = [(value[key], result[key]) for key in ("model", "ema") if key in value]
    if "optimizer" in value and not all(_in_order(*pair) for pair in states):
        result["optimizer"] = {"state": {}, "param_groups": value["optimizer"]["param_groups"]}
    return result


def _in_order(old, new):
    before, after = ([_identity(v) for v in state.values() if isinstance(v, torch.Tensor)] for state in (old, new))
    return before == after


class Tree(torch.nn.Module):
    """A module with any parameters and buffers under dotted names."""

    def add(self, key, value, *, persistent=True):
        first, _, rest = key.partition(".")
        if rest:
            if first not in self._modules:
                self.add_module(first, Tree())
            self._modules[first].add(rest, value, persistent=persistent)
        elif isinstance(value, torch.nn.Parameter):
            self.register_parameter(first, value)
        else:
            self.register_buffer(first, value, persistent=persistent)


@seeds(30)
def test_a_whole_module(seed, tmp_path):
    case = Case(seed, others=False)
    module = Tree()
    for key, value in case.state.items():
        module.add(key, value)
    module.add("m0.scratch", torch.ones(2), persistent=False)
    value = {"model": module, "epoch": 1} if case.rng.random() < 0.5 else module
    source = tmp_path / "old.pt"
    saved(value, source)
    result = load(migrated(case, tmp_path, source))
    loaded = load(source)
    state = (loaded["model"] if isinstance(loaded, dict) else loaded).state_dict()
    plain = collections.OrderedDict((key, value.detach()) for key, value in state.items())
    expected = case.by_hand(plain)
    actual = result["model"] if isinstance(loaded, dict) else result
    assert type(actual) is collections.OrderedDict
    assert list(actual) == list(expected)
    assert all(type(actual[key]) is torch.Tensor and same_bits(actual[key], expected[key]) for key in expected)
    if not isinstance(loaded, dict):
        assert torch.load(tmp_path / result_name(tmp_path), weights_only=True).keys() == expected.keys()


def result_name(folder):
    return next(path.name for path in folder.iterdir() if path.name.startswith("out"))


@seeds(40)
def test_safetensors_both_ways(seed, tmp_path):
    library = pytest.importorskip("safetensors.torch")
    case = Case(seed, others=False, kinds=UNTIED)
    plain = {key: value.detach().contiguous().clone() for key, value in case.state.items()}
    source = tmp_path / "old.safetensors"
    library.save_file(plain, source, metadata={"format": "pt", "note": "kept"})
    in_order = _safetensors(source)
    expected = case.by_hand(in_order)
    output = migrated(case, tmp_path, source, suffix=".safetensors")
    result = library.load_file(output)
    assert list(_safetensors(output)) == list(expected)
    assert all(same_bits(result[key], value) for key, value in expected.items())
    assert _header(output)["__metadata__"].items() >= {"format": "pt", "note": "kept"}.items()
    torch_file = load(migrated(case, tmp_path, source))
    assert list(torch_file) == list(expected)
    assert all(same_bits(torch_file[key], value) for key, value in expected.items())
    check_reverse_safetensors(case, tmp_path, source, output)


def check_reverse_safetensors(case, folder, source, output):
    files = [str(write_migration(folder, body)) for body in case.bodies()]
    back = folder / "back.safetensors"
    request = Request(str(output), files, str(back), reverse=True, source=str(source))
    if case.lossless:
        migrate(request)
        before, after = _safetensors(source), _safetensors(back)
        assert list(before) == list(after)
        assert all(case.back(before[key], after[key]) for key in before)


def _header(path):
    content = path.read_bytes()
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


def _safetensors(path):
    """The tensors in the order of the header, which the library does not keep."""
    library = pytest.importorskip("safetensors.torch")
    loaded = library.load_file(path)
    return {key: loaded[key] for key in _header(path) if key != "__metadata__"}


@seeds(20)
def test_a_state_dict_into_safetensors(seed, tmp_path):
    pytest.importorskip("safetensors")
    case = Case(seed, others=False)
    source = tmp_path / "old.pt"
    saved(case.state, source)
    output = migrated(case, tmp_path, source, suffix=".safetensors")
    expected, result = case.by_hand(load(source)), _safetensors(output)
    assert list(result) == list(expected)
    assert all(same_bits(result[key], value) for key, value in expected.items())
    entries = _header(output)
    del entries["__metadata__"]
    start = 8 + int.from_bytes(output.read_bytes()[:8], "little")
    for key, entry in entries.items():
        assert (start + entry["data_offsets"][0]) % expected[key].element_size() == 0, key


@seeds(20)
def test_shards(seed, tmp_path):
    case = Case(seed, others=False, kinds=UNTIED)
    safe = case.rng.random() < 0.5 and pytest.importorskip("safetensors.torch")
    suffix = "safetensors" if safe else "bin"
    names = [f"part-{number}.{suffix}" for number in range(3)]
    state = {key: value.detach().contiguous().clone() for key, value in case.state.items()}
    where = {key: case.rng.choice(names) for key in state}
    for name in set(where.values()):
        part = {key: value for key, value in state.items() if where[key] == name}
        safe.save_file(part, tmp_path / name) if safe else torch.save(part, tmp_path / name)
    index = tmp_path / f"model.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
    expected = case.by_hand(state)
    result = load(migrated(case, tmp_path, index))
    assert list(result) == list(expected)
    assert all(same_bits(result[key], value) for key, value in expected.items())


def test_the_comparison_sees_what_it_should():
    base = torch.arange(4.0)
    for one, other in [
        ([base, base[1:]], [base, base[1:].clone()]),
        ([base, base.clone()], [base, base]),
        ({"a": base}, {"a": base.double()}),
        ({"a": base}, {"a": base.clone().requires_grad_()}),
        ([1, True], [1, 1]),
        ([[], []], [[]] * 2),
    ]:
        with pytest.raises(AssertionError):
            check(one, other)
    with warnings.catch_warnings():
        check({"a": [base, base[2:]]}, load_again({"a": [base, base[2:]]}))


def load_again(value):
    import io

    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return torch.load(buffer)
