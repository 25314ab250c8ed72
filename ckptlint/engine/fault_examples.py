"""An example of each kind of fault that is no rule file, and what to do about it: what `explain` and docs/rules.md show.

Those with keys are migrations that run: the tests prove each and see its fault.
"""

from __future__ import annotations

from typing import NamedTuple


class Example(NamedTuple):
    """A migration of a checkpoint with some keys (`a: f32[2]`), or (no keys) what a user sees; and what to do about it."""

    shown: str
    cure: str
    keys: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    ties: tuple[tuple[str, ...], ...] = ()


_A = "a: f32[2]"
_B = "b: f32[2]"
_W = "w: f32[4,4]"

EXAMPLES: dict[str, Example] = {
    "CKM101": Example(
        "rewrites:\n- rename: {gone: b}\n- keep: a",
        "Correct the name or pattern. A rewrite that is for some checkpoints only is `optional: true`, or has a `when`.",
        (_A,),
    ),
    "CKM102": Example(
        'rewrites:\n- rename: {"l.{i:int}.w": "m.{i}.w"}\n- rename: {"l.0.{t}": "n.{t}"}',
        "Make one of the patterns narrower, or give one a `when`: no order decides between them.",
        ("l.0.w: f32[2]",),
    ),
    "CKM103": Example(
        "rewrites:\n- rename: {a: c, b: c}",
        "Give each its own name; where two should become one tensor, use an operation such as `concat`.",
        (_A, _B),
    ),
    "CKM104": Example(
        "rewrites:\n- rename: {a: c}",
        "Say what becomes of the key: rename, `keep` or `drop` it with a reason; `rest: keep` keeps all others.",
        (_A, _B),
    ),
    "CKM105": Example(
        'rewrites:\n- from: ["l.{i:int}.g", "l.{i:int}.v"]\n  to: "l.{i}.w"\n  ops:\n  - concat: {dim: 0}',
        "Is the checkpoint whole? Where some layers lack a key, write a rewrite of their own for them.",
        ("l.0.g: f32[2]", "l.1.g: f32[2]", "l.0.v: f32[2]"),
    ),
    "CKM106": Example(
        'rewrites:\n- from: "e.{e:int}.w"\n  to: w\n  over: e\n  ops:\n  - stack: {over: e, dim: 0}',
        "Is the checkpoint whole? The numbers become places in one tensor, so none may be missing.",
        ("e.0.w: f32[2]", "e.2.w: f32[2]"),
    ),
    "CKM107": Example(
        "rewrites:\n- drop: {keys: a, reason: unused}\nrest: keep",
        "Fine where the loss is meant. `migrate --undo-file FILE` keeps what is lost, so that the way back is exact.",
        (_A, _B),
    ),
    "CKM108": Example(
        'rewrites:\n- from: "e.{e:int}.w"\n  to: w\n  over: e\n  expect: 8\n  ops:\n  - stack: {over: e, dim: 0}',
        "Is the checkpoint whole, and of the size that the migration is for?",
        ("e.0.w: f32[2]", "e.1.w: f32[2]"),
    ),
    "CKM109": Example(
        "rewrites:\n- keep: w",
        "The message says which key, shape or dtype differs from the target (here `w: f32[3,2]`): write the step that is missing.",
        ("w: f32[2,3]",),
        ("w: f32[3,2]",),
    ),
    "CKM110": Example(
        "rewrites:\n- from: w\n  to: w\n  ops:\n  - rearrange: a b -> b a",
        "No shape tells whether it was done, or done twice: compare outputs with `verify --model NEW --plan-from OLD`.",
        (_W,),
    ),
    "CKM111": Example(
        "rewrites:\n- from: qkv\n  to: [q, k, v]\n  ops:\n  - split: {parts: 3}",
        "Look at the old forward pass for the order; `verify --model NEW --plan-from OLD` compares what both models compute.",
        ("qkv: f32[6,2]",),
    ),
    "CKM112": Example(
        "rewrites:\n- rename: {a: b, b: a}",
        "Give the migration a `when` that no longer holds for its own result, or run it in a chain, which knows where a file stands.",
        (_A, _B),
    ),
    "CKM113": Example(
        "rewrites:\n- from: w\n  to: [a, b]\n  ops:\n  - split: {parts: 2}",
        "The message has the shapes that the operation was given: is the pattern too wide, or an option wrong?",
        ("w: f32[7,2]",),
    ),
    "CKM114": Example(
        "prefix: {strip: [module.]}\nrest: keep",
        "Rename the keys that have the prefix, and say what becomes of the others.",
        ("module.a: f32[2]", _B),
    ),
    "CKM115": Example(
        "rewrites:\n- from: a\n  to: a\n  ops:\n  - rearrange: x y -> y x\n- keep: b",
        "Treat all names alike by one pattern, or make them separate tensors with `untie`.",
        ("a: f32[2,2]", "b: f32[2,2]"),
        (),
        (("a", "b"),),
    ),
    "CKM116": Example(
        "when: {has: b}\nrewrites:\n- keep: a",
        "It is a migration for other checkpoints: `ckptlint lint` says what this one is.",
        (_A,),
    ),
    "CKM117": Example(
        "rewrites:\n- from: w\n  to: [a, b]\n  ops:\n  - split: {parts: 3}",
        "Name as many targets as the operations make.",
        ("w: f32[6,2]",),
    ),
    "CKM118": Example(
        'rewrites:\n- rename: {"l.{i:int}.w": "l.{i-1}.w"}',
        "Give the parameter with `--param NAME=VALUE`, or correct the expression: here it would be -1.",
        ("l.0.w: f32[2]",),
    ),
    "CKM119": Example(
        "rewrites:\n- untie: [a, b]\nrest: keep",
        "Name keys that are one tensor in the file; `ckptlint inspect` shows which are.",
        (_A, _B),
    ),
    "CKM120": Example(
        "ckptlint migrate new.pt -m m.yaml --reverse -o old.pt\nCKM120: nothing in the new file tells the sizes that were put together",
        "Name the old schema with `--source`, or keep `--undo-file` when going up.",
    ),
    "CKM121": Example(
        'rewrites:\n- from: w\n  to: w\n  ops:\n  - python: {call: "mod:fn", shapes: ["f32[2]"]}',
        "Read the code before `migrate --allow-python`, or say the same in operations, which can be proved and undone.",
        ("w: f32[2]",),
    ),
    "CKM122": Example(
        'rewrites:\n- rename: {"a.q.{t}": "b.k.{t}", "a.k.{t}": "b.q.{t}"}',
        "Compare with the old and new forward pass. Where it is meant, a comment in the migration tells the next reader.",
        ("a.q.weight: f32[2,2]", "a.k.weight: f32[2,2]"),
    ),
    "CKM123": Example(
        "0001_pad.yaml pads `a` with a zero, 0002_shift.yaml adds 1 to `a`: padded first, the new element is 1, else 0",
        "Keep their order, by numbers and parents of a chain; `rebase` and `merge` refuse such branches.",
    ),
    "CKM124": Example(
        'rewrites:\n- rename: {"l.{i:int}.w": "m.{i+1}.w"}',
        "A ModuleList counts from 0: is the number that is added right?",
        ("l.0.w: f32[2]", "l.1.w: f32[2]"),
    ),
    "CKM131": Example(
        "tree:\n- refuse: needs release 2\n  when: {tree: {/version: 1}}",
        "Do what the migration says; nothing was written.",
    ),
    "CKM132": Example(
        "tree:\n- set: {/hypers/depth: 3}    # where the file has no /hypers",
        "`ckptlint inspect FILE` shows what is in the file's tree, and by which paths.",
    ),
    "CKM133": Example(
        "cases:\n- {when: {has: a}, rewrites: [...]}\n- {when: {has: b}, rewrites: [...]}    # where the file has both, or none",
        "Make the conditions exclude each other, and add a case for what is left.",
    ),
    "CKM134": Example(
        "ckptlint migrate old.pt --chain ckpt/net --to head -o new.pt\nCKM134: two migrations follow 0002-3f9a1c",
        "`ckptlint log FOLDER` shows the chain; `rebase` or `merge` joins two heads. Of a file at no revision `current` shows the nearest.",
    ),
    "CKG101": Example(
        "0002_b.yaml: error[CKG101]: 0001-3f9a1c makes k1:9f2c..., and 0002-77ab01 takes k1:51d0...",
        "A migration between them is missing, or one was edited by hand: write the missing one with `make`, or restore the edited one.",
    ),
    "CKG102": Example(
        "0001_a.yaml: error[CKG102]: 0001-3f9a1c is part of the base, and 0001-c0ffee is in its place",
        "Restore the merged file from git, and write a further migration: checkpoints out there may stand at it.",
    ),
    "CKG103": Example(
        "ckpt/net/schema.lock: error[CKG103]: the lock has the keys k1:9f2c..., and 0002-77ab01 at the head makes k1:51d0...",
        "`ckptlint make` writes the missing migration and the lock; `ckptlint lock` renews a lock that is stale.",
    ),
    "CKG104": Example(
        "error[CKG104]: no revision of the chain has the keys of the base (k1:9f2c...)",
        "Is it the lock of another model, or was a merged migration removed? `git log -- ckpt/net` tells.",
    ),
    "CKG105": Example(
        "0007_a.yaml: warning[CKG105]: 0007_a.yaml is number 2 of the chain",
        "Rename the file, then `ckptlint seal FOLDER`; its id does not change.",
    ),
    "CKG106": Example(
        "ckpt/net/chain.sum: error[CKG106]: 0002-77ab01 is not in the chain.sum",
        "After a migration was written or changed by hand: `ckptlint seal FOLDER`. After a merge: `ckptlint rebase FOLDER` or `merge`.",
    ),
    "CKG107": Example(
        "error[CKG107]: one branch renames `body.{t}`, the other drops `body.b`",
        "Decide by hand which goes first: put one branch behind the other, and write its migration anew from there.",
    ),
    "CKB101": Example(
        "error[CKB101]: the model changed, and no migration leads to it",
        "`ckptlint make MODEL` writes the migration. A break that is meant is an `ignore` entry of CKB101 with keys and a reason.",
    ),
    "CKB102": Example(
        "error[CKB102]: head.weight is missing in files of the base; the model needs f32[10,8]    # check --level strict",
        "Give the key its old name and shape, or judge by level migratable and write the migration: `ckptlint make MODEL`.",
    ),
    "CKB103": Example(
        "error[CKB103]: the parameters come in another order, by which an optimizer's state is numbered    # check --level exact",
        "Define them in the old order and dtype. Where only weights are loaded, level strict is enough.",
    ),
    "CKF101": Example(
        "info[CKF101]: backbone.conv.weight is in new files (f32[8,3]), and released code does not know it    # check --forward",
        "Take files back before released code reads them: `ckptlint migrate NEW --chain FOLDER --to REV -o OLD`.",
    ),
    "CKF102": Example(
        "ckpt/net/0003_drop_head.yaml: error[CKF102]: head.weight is dropped    # check --forward",
        "Keep what released code needs until it is gone; or do not ask for forward compatibility.",
    ),
    "CKG108": Example(
        "ckpt/net/golden.sum:2: error[CKG108]: golden/v1.pt is gone",
        "`git checkout REF -- FILE` brings back what it was. What is meant, `ckptlint golden FOLDER` records.",
    ),
    "CKG109": Example(
        "ckpt/net/golden.sum:2: error[CKG109]: golden/v1.pt: nothing tells where in the chain the checkpoint stands",
        "Is a migration missing, or was one changed? `ckptlint current FILE --chain FOLDER` says what is nearest.",
    ),
    "CKG110": Example(
        "ckpt/net/golden.sum:2: error[CKG110]: golden/v1.pt: head.bias is missing in the result; the target needs f32[10]",
        "The migrations do not make of this file what the lock says: mend the last one, or `ckptlint make` a further one.",
    ),
    "CKX101": Example(
        "x = 1  # ckptlint: ignore[CKL102] ours    # no torch.load is here any more", "Take the comment or entry out."
    ),
    "CKX102": Example(
        "x = torch.load(p)  # ckptlint: ignore[CKL102] until 2024-01-31: until the reader is rewritten",
        "Mend what it accepted, or give it a later day, and say why.",
    ),
    "CKX103": Example("x = torch.load(p)  # ckptlint: ignore[CKL102]", "Write the reason behind the bracket."),
    "CKX104": Example(
        "x = torch.load(p)  # ckptlint: ignore[CKL999] ours    # or a bare `ignore`",
        "Name a rule; `ckptlint rules` lists them.",
    ),
    "CKX105": Example(
        '{"fingerprint": "0f3a9c2b7d1e4f58", "rule": "CKL102", "subject": "train.py"}    # added by this change',
        'Mend the finding, or add why it is accepted: "reason": "..." in its line.',
    ),
    "CKX106": Example(
        "ckpt/baseline.json:2:1: error[CKX106]: is in the baseline, and no longer found: CKL102 train.py",
        "`--prune-baseline` takes it out, so that it cannot hide the same fault later.",
    ),
}
