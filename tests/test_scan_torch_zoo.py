"""No file that torch makes of honest values is called dangerous, and none gives a warning but for what is the user's own."""

import pytest
from hostile.assemble import Call, Name, Pid, dump
from hostile.containers import legacy

from ckptlint.commands.scan import Request, scan
from ckptlint.core.finding import Severity
from ckptlint.documents.config import Config
from ckptlint.engine.verdict import Level

torch = pytest.importorskip("torch")

from tar_files import saved as saved_as_tar  # noqa: E402  after torch is known to be there
from torch_zoo import BASE, WRITERS, valid  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # what torch says of types that it holds half finished
OWN = {  # classes of the zoo, and what it does on purpose
    "subclass": "CKC312",
    "subclass of a view": "CKC312",
    "parameter of a subclass": "CKC312",
    "wrapper": "CKC312",
    "wrapper parameter": "CKC312",
    "module": "CKC301 CKC312",
    "module in a dict": "CKC301 CKC312",
    "odd keys": "CKC202",
}


@pytest.mark.parametrize("writer", ["zip", "zip, protocol 5", "legacy"])
def test_honest_files_give_no_false_alarm(writer, tmp_path):
    names = {}
    for number, (name, make) in enumerate(valid()):
        path = tmp_path / f"{number}.pt"
        path.write_bytes(WRITERS[writer](make()))
        names[str(path)] = name
    scans, errors = scan(Request([str(tmp_path)]), Config("", tmp_path))
    assert errors == []
    assert len(scans) == len(names)
    for each in scans:
        name = names[each.report.checkpoint]
        said = {finding.rule for finding in each.report.findings if finding.severity is not Severity.INFO}
        assert said == set(OWN.get(name, "").split()), (name, each.report.findings)
        assert each.verdict.level is not Level.DANGEROUS


def test_the_oldest_format_gives_no_false_alarm(tmp_path):
    (tmp_path / "old.pt").write_bytes(saved_as_tar({"w": BASE, "turned": BASE.t(), "tied": BASE}))
    ((found,), errors) = scan(Request([str(tmp_path)]), Config("", tmp_path))
    assert (errors, [each for each in found.report.findings if each.severity is not Severity.INFO]) == ([], [])


def test_a_module_of_an_old_file_that_is_no_module_is_named(tmp_path):
    pid = Pid(("module", Name("posix", "system"), None, None))
    (tmp_path / "old.pt").write_bytes(legacy(dump({"w": Call(pid, ("true",))}), keys=()))
    ((found,), _) = scan(Request([str(tmp_path)]), Config("", tmp_path))
    assert found.verdict.level is Level.DANGEROUS
    assert "posix.system('true')" in found.verdict.why
