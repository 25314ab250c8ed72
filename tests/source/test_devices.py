import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def one_device(home):
    from ckptlint.source.child.devices import OneDevice

    return OneDevice(home)


MOVES = {
    "cuda": lambda tensor: tensor.cuda(),
    "cuda(1)": lambda tensor: tensor.cuda(1),
    "to cuda": lambda tensor: tensor.to("cuda"),
    "to mps": lambda tensor: tensor.to(device=torch.device("mps")),
    "to 0": lambda tensor: tensor.to(0, non_blocking=True),
    "cpu": lambda tensor: tensor.cpu(),
    "to cpu": lambda tensor: tensor.to("cpu"),
    "to like one on the CPU": lambda tensor: tensor.to(torch.ones(1, dtype=torch.int8, device="cpu")),
    "to tensor on the cpu": lambda tensor: tensor.to(tensor=torch.ones(1, device="cpu")),
}


@pytest.mark.parametrize("home", ["meta", "cpu"])
@pytest.mark.parametrize("move", MOVES)
def test_what_is_on_meta_stays_there(move, home):
    tensor = torch.ones(2, device="meta")
    with one_device(home):
        assert MOVES[move](tensor).is_meta


@pytest.mark.parametrize("home", ["meta", "cpu"])
@pytest.mark.parametrize("move", MOVES)
def test_what_is_real_goes_home_instead_of_to_an_accelerator(move, home):
    tensor = torch.ones(2)
    with one_device(home):
        assert MOVES[move](tensor).device.type == ("cpu" if "cpu" in move.lower() else home)


def test_dtypes_are_taken_over_where_devices_are_not():
    with one_device("meta"):
        tensor = torch.ones(2, device="meta")
        assert tensor.to("cuda", torch.float16).dtype is torch.float16
        assert tensor.to(torch.ones(1, dtype=torch.int8)).dtype is torch.int8
        assert tensor.to(tensor=torch.ones(1, dtype=torch.int8)).dtype is torch.int8
        assert tensor.to(dtype=torch.bfloat16).dtype is torch.bfloat16


@pytest.mark.parametrize("home", ["meta", "cpu"])
def test_new_tensors_are_made_at_home_and_what_was_asked_for_is_known(home):
    mode = one_device(home)
    with mode:
        made = [
            torch.zeros(2, device="cuda:3"),
            torch.arange(3, device=torch.device("cuda")),
            torch.ones(1).new_zeros(2, device="xpu"),
            torch.empty_like(torch.ones(2), device="mps"),
        ]
    assert [tensor.device.type for tensor in made] == [home] * 4
    assert list(mode.asked) == ["cuda", "xpu", "mps"]


def test_what_is_put_on_the_cpu_by_name_can_be_read():
    with torch.device("meta"), one_device("meta"):
        assert torch.linspace(0, 1, 3, device="cpu").tolist() == [0.0, 0.5, 1.0]


def test_a_device_that_is_none_is_torchs_own_error():
    with one_device("meta"), pytest.raises(RuntimeError, match="device"):
        torch.zeros(2, device="toaster")
