"""Compares the names of rclpy that the package uses with those that ROS distributions have.

    tools/compare_rclpy.py humble=CHECKOUT jazzy=.venv kilted=.venv-kilted lyrical=CHECKOUT

CHECKOUT is a folder with the branch of https://github.com/ros2/rclpy, or release/DISTRO/rclpy of
https://github.com/ros2-gbp/rclpy-release, whose Python files and bindings (pybind11 or nanobind)
are read as text. An environment, which has bin/python, is asked.

Names are imported ones, attributes (private ones too) and keyword arguments. An attribute's class
is known where the code says so: annotations, constructors, `self` of a node, and the return types
that rclpy declares. Where it is not known, any class of rclpy that has such an attribute counts;
attributes that Python's own types or this package's classes have are not checked then.

Prints a table in Markdown; exits with 1 if a name is missing anywhere.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
#: Compared files: the programs, and the examples for users.
CODE = ("maix_facemesh_ros/ros", "examples")

#: A call that both bindings make, and the name in it: `.def("take_message"`, `m, "WaitSet"`.
BOUND_CLASS = re.compile(
    r"(?:class_|enum_|exception)<(?P<types>[^;{]*?)>\s*\(\s*\w+,\s*\"(?P<name>\w+)\"", re.DOTALL
)
BOUND_NAME = re.compile(r"\.(?:def\w*|value)\(\s*\"(\w+)\"|\.attr\(\"(\w+)\"\)")

#: Prints the classes and functions of the compiled module, and the bases of each class.
ASK = """
import json
from rclpy.impl.implementation_singleton import rclpy_implementation as module
print(json.dumps({
    name: [dir(value), [base.__name__ for base in value.__mro__[1:-1]]]
    if isinstance(value, type) else [[], []]
    for name, value in vars(module).items()
}))
"""

#: Between two modules one of which must have a name.
OR = " or "

#: Members of every enumeration of pybind11 and nanobind.
ENUMERATION = {"name", "value"}
#: The compiled module, by the name under which the package imports it.
EXTENSION = "rclpy.impl.implementation_singleton.rclpy_implementation"


@dataclass
class Class:
    """A class of rclpy: its own members, and its bases."""

    attributes: set[str] = field(default_factory=set)
    bases: list[str] = field(default_factory=list)


@dataclass
class Rclpy:
    """The names of one distribution's rclpy."""

    #: By dotted module name.
    modules: dict[str, set[str]] = field(default_factory=dict)
    #: By name, for Python's and the compiled ones.
    classes: dict[str, Class] = field(default_factory=dict)
    #: Keyword arguments of each function or method of a name; "**" for any.
    keywords: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    #: Class that an attribute or method of a class returns, as it is annotated.
    returns: dict[tuple[str, str], str] = field(default_factory=dict)

    def has_attribute(self, class_name: str, attribute: str) -> bool:
        """Whether a class or one of its bases has an attribute."""
        known = self.classes.get(class_name)
        return known is not None and (
            attribute in known.attributes
            or any(self.has_attribute(base, attribute) for base in known.bases if base in self)
        )

    def __contains__(self, class_name: str) -> bool:
        return class_name in self.classes

    def any_has(self, attribute: str) -> bool:
        """Whether any class has an attribute."""
        return any(attribute in known.attributes for known in self.classes.values())

    def has(self, name: Use) -> bool:
        """Whether the distribution has all names that the package uses."""
        if name.kind == "keyword":
            return not {name.name, "**"}.isdisjoint(self.accepted_keywords(name.owner))
        if name.kind == "attribute":
            if name.owner:
                return self.has_attribute(name.owner, name.name)
            return self.any_has(name.name)
        return self._has_import(name)

    def accepted_keywords(self, called: str) -> set[str]:
        """Return the keyword arguments of a function, or of a class: perhaps those of its bases."""
        if called in self.keywords or called not in self:
            return self.keywords.get(called, set())
        return set().union(*(self.accepted_keywords(base) for base in self.classes[called].bases))

    def _has_import(self, name: Use) -> bool:
        return any(
            f"{module}.{name.name}" in self.modules or name.name in self.modules.get(module, ())
            for module in name.owner.split(OR)
        )


@dataclass(frozen=True, order=True)
class Use:
    """One name that the package uses.

    kind is "import" (owner: the module), "attribute" (owner: the class, empty if unknown) or
    "keyword" (owner: the function).
    """

    kind: str
    owner: str
    name: str

    def __str__(self) -> str:
        if self.kind == "keyword":
            return f"{self.owner}({self.name}=)"
        return f"{self.owner}.{self.name}" if self.owner else f"….{self.name}"


# --- Names of a distribution ----------------------------------------------------------------------


def read_distribution(place: Path) -> Rclpy:
    """Read a checkout, or ask an environment."""
    found = Rclpy()
    if (place / "bin" / "python").exists():
        (package,) = place.glob("lib/python3*/site-packages/rclpy")
        # The wheels find their libraries by these two, and only once.
        other = ("LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")
        answer = subprocess.run(
            [place / "bin" / "python", "-c", ASK],
            env={name: value for name, value in os.environ.items() if name not in other},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        for name, (attributes, bases) in json.loads(answer.stdout).items():
            found.classes[name] = Class(set(attributes), bases)
    else:
        package = next(file.parent for file in sorted(place.rglob("rclpy/node.py")))
        for file in sorted((package.parent / "src").rglob("*.cpp")):
            read_bindings(file.read_text(), found)
    found.modules[EXTENSION] = set(found.classes)
    for file in sorted(package.rglob("*.py")):
        read_module(file, package, found)
    add_names_of_star_imports(found)
    return found


def read_bindings(text: str, found: Rclpy) -> None:
    """Add the classes of one file of C++."""
    classes = list(BOUND_CLASS.finditer(text))
    for number, match in enumerate(classes):
        end = classes[number + 1].start() if number + 1 < len(classes) else len(text)
        own = {a or b for a, b in BOUND_NAME.findall(text[match.start() : end])}
        if "enum_<" in match.group():
            own |= ENUMERATION
        bases = [part.split("::")[-1].strip() for part in match["types"].split(",")[1:]]
        known = found.classes.setdefault(match["name"], Class())
        known.attributes |= own
        known.bases += [base for base in bases if base.isidentifier()]
    for name in re.findall(r"\bm\.def\(\s*\"(\w+)\"", text):
        found.classes.setdefault(name, Class())


def read_module(file: Path, package: Path, found: Rclpy) -> None:
    """Add the names, classes and functions of one Python file of rclpy."""
    parts = file.relative_to(package.parent).with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    names = found.modules.setdefault(module, set())
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            read_class(node, found)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.keywords[node.name] |= keywords_of(node.args)
    for node in tree.body:
        names |= set(names_bound_by(node))


def read_class(node: ast.ClassDef, found: Rclpy) -> None:
    """Add a class: its methods, attributes and their types."""
    known = found.classes.setdefault(node.name, Class())
    known.bases += [last_name(base) for base in node.bases]
    for part in node.body:
        known.attributes |= set(names_bound_by(part))
        if isinstance(part, ast.FunctionDef):
            if part.name in ("__init__", "__new__"):
                found.keywords[node.name] |= keywords_of(part.args)
            if part.returns is not None:
                found.returns[node.name, part.name] = last_name(part.returns)
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
            known.attributes.add(inner.attr)


def keywords_of(arguments: ast.arguments) -> set[str]:
    """Return the names of a function's keyword arguments."""
    every = {"**"} if arguments.kwarg else set()
    return every | {argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)}


def names_bound_by(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement defines; "*module" for `from module import *`."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    elif isinstance(node, ast.Import):
        yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield f"*{node.module}" if alias.name == "*" else alias.asname or alias.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (part.id for t in targets for part in ast.walk(t) if isinstance(part, ast.Name))
    elif isinstance(node, ast.If | ast.Try):
        for inner in ast.iter_child_nodes(node):
            if isinstance(inner, ast.stmt):
                yield from names_bound_by(inner)


def add_names_of_star_imports(found: Rclpy) -> None:
    """Replace each "*module" by the names of that module."""
    for names in found.modules.values():
        for star in [name for name in names if name.startswith("*")]:
            names |= found.modules.get(star[1:], set())


def last_name(node: ast.expr) -> str:
    """Return the class that an annotation or base names: Publisher of `'Publisher[MsgT]'`."""
    text = ast.unparse(node).strip("'\"")
    text = re.sub(r"^(?:Optional|Type|type)\[(.*)\]$", r"\1", text)
    return text.split("[")[0].split("|")[0].strip().split(".")[-1]


# --- Names that the package uses ------------------------------------------------------------------


class Uses(ast.NodeVisitor):
    """Collects the names of rclpy that one file uses."""

    def __init__(self, distributions: list[Rclpy], not_rclpys: set[str]) -> None:
        """Start a file.

        Args:
            distributions: say what is rclpy's.
            not_rclpys: attributes that mean nothing where the class is not known.
        """
        self._distributions = distributions
        self._not_rclpys = not_rclpys
        self.found: set[Use] = set()
        #: Modules and classes of rclpy by their name in this file.
        self._modules: dict[str, str] = {}
        self._classes: set[str] = set()
        #: Names that are imported from anywhere else.
        self._elsewhere: set[str] = set()
        #: Class of a variable, by its source text such as `self._node`.
        self._types: dict[str, str] = {}

    def visit_Import(self, node: ast.Import) -> None:
        """See the class."""
        for alias in node.names:
            if alias.name.split(".")[0] == "rclpy":
                parent, _, name = alias.name.rpartition(".")
                if parent:
                    self.found.add(Use("import", parent, name))
                self._modules["rclpy"] = "rclpy"
            else:
                self._elsewhere.add(alias.asname or alias.name.split(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """See the class."""
        if node.module and node.module.split(".")[0] == "rclpy":
            for alias in node.names:
                self.found.add(Use("import", node.module, alias.name))
                if alias.name == "rclpy_implementation":
                    self._modules[alias.name] = EXTENSION
                self._classes.add(alias.asname or alias.name)
        else:
            self._elsewhere |= {alias.asname or alias.name for alias in node.names}

    def visit_Try(self, node: ast.Try) -> None:
        """See the class: of an import and what stands in for it, one must be there."""
        if not any("ModuleNotFoundError" in ast.unparse(handler) for handler in node.handlers):
            self.generic_visit(node)
            return
        before, self.found = self.found, set()
        self.generic_visit(node)
        owners: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for use in sorted(self.found):
            owners[use.kind, use.name].append(use.owner)
        self.found = before | {Use(k, OR.join(o), name) for (k, name), o in owners.items()}

    def visit_If(self, node: ast.If) -> None:
        """See the class: what is imported for annotations alone need not be there."""
        before = set(self.found)
        self.generic_visit(node)
        if ast.unparse(node.test) == "TYPE_CHECKING":
            self.found = before

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """See the class."""
        bases = [last_name(base) for base in node.bases]
        rclpy_base = next((base for base in bases if base in self._classes), "")
        before = dict(self._types)
        if rclpy_base:
            self._types["self"] = rclpy_base
        # Attributes are set in __init__, which comes first.
        self.generic_visit(node)
        self._types = before

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """See the class."""
        for argument in (*node.args.args, *node.args.kwonlyargs):
            if argument.arg != "self":
                self._note_type(argument.arg, argument.annotation)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """See the class."""
        self._note_type(ast.unparse(node.target), node.annotation)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        """See the class."""
        self.generic_visit(node)
        class_name = self._class_of(node.value)
        if class_name:
            self._types[ast.unparse(node.targets[0])] = class_name

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """See the class."""
        self.generic_visit(node)
        module = self._module_of(node.value)
        if module:
            self.found.add(Use("import", module, node.attr))
            return
        if isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            return  # the package's own attribute
        owner = self._class_of(node.value)
        if owner and any(known.has_attribute(owner, node.attr) for known in self._distributions):
            self.found.add(Use("attribute", owner, node.attr))
        elif not owner and self._may_be_rclpys(node):
            self.found.add(Use("attribute", "", node.attr))

    def visit_Call(self, node: ast.Call) -> None:
        """See the class."""
        self.generic_visit(node)
        function = node.func
        name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
        of_rclpy = name in self._classes
        if isinstance(function, ast.Attribute):
            owner = self._class_of(function.value)
            of_rclpy = bool(self._module_of(function.value)) or (
                bool(owner) and Use("attribute", owner, name) in self.found
            )
        if of_rclpy:
            for keyword in node.keywords:
                if keyword.arg:
                    self.found.add(Use("keyword", name, keyword.arg))

    def _note_type(self, name: str, annotation: ast.expr | None) -> None:
        self._types.pop(name, None)
        if annotation is not None and last_name(annotation) in self._classes:
            self._types[name] = last_name(annotation)

    def _module_of(self, node: ast.expr) -> str:
        """Return the module of rclpy that an expression is; empty for anything else."""
        text = ast.unparse(node)
        first, _, rest = text.partition(".")
        module = self._modules.get(first, "")
        dotted = f"{module}.{rest}" if module and rest else module
        is_module = any(dotted in known.modules for known in self._distributions)
        return dotted if is_module else ""

    def _class_of(self, node: ast.expr) -> str:
        """Return the class of rclpy of an expression; empty where it is not known."""
        text = ast.unparse(node)
        if text in self._types:
            return self._types[text]
        if isinstance(node, ast.Name):
            return node.id if node.id in self._classes else ""
        if isinstance(node, ast.Call):
            return self._class_of_call(node.func)
        if isinstance(node, ast.Attribute):
            return self._returned(node)
        return ""

    def _class_of_call(self, function: ast.expr) -> str:
        if isinstance(function, ast.Name):
            return function.id if function.id in self._classes else ""
        if isinstance(function, ast.Attribute):
            if self._module_of(function.value):
                return function.attr
            return self._returned(function)
        return ""

    def _returned(self, node: ast.Attribute) -> str:
        """Return the class that a method or property returns by rclpy's own annotations."""
        owner = self._class_of(node.value)
        answers = [known.returns.get((owner, node.attr), "") for known in self._distributions]
        return next((a for a in answers if any(a in known for known in self._distributions)), "")

    def _may_be_rclpys(self, node: ast.Attribute) -> bool:
        root = ast.unparse(node).split(".")[0].split("(")[0].split("[")[0]
        return (
            root not in self._elsewhere
            and not node.attr.startswith("__")
            and node.attr not in self._not_rclpys
            and any(known.any_has(node.attr) for known in self._distributions)
        )


def own_attributes() -> set[str]:
    """Return the attributes of Python's types, and of the package's classes that are no nodes."""
    found = {name for kind in (str, bytes, list, dict, set, tuple) for name in dir(kind)}
    for file in sorted((SOURCE / "maix_facemesh_ros").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                found |= {name for part in node.body for name in names_bound_by(part)}
                found |= {
                    part.attr
                    for part in ast.walk(node)
                    if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store)
                }
    return found


def used_names(distributions: list[Rclpy]) -> list[Use]:
    """Return all names of rclpy that the package uses."""
    found: set[Use] = set()
    not_rclpys = own_attributes()
    for folder in CODE:
        for file in sorted((SOURCE / folder).rglob("*.py")):
            uses = Uses(distributions, not_rclpys)
            uses.visit(ast.parse(file.read_text()))
            found |= uses.found
    return sorted(found)


# --- Report ---------------------------------------------------------------------------------------


def main() -> int:
    """Print the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("distributions", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--all", action="store_true", help="also the names that every one has")
    options = parser.parse_args()
    places = dict(part.split("=", 1) for part in options.distributions)
    known = {name: read_distribution(Path(place)) for name, place in places.items()}
    names = used_names(list(known.values()))
    rows = [(name, [each.has(name) for each in known.values()]) for name in names]
    print(f"| name | {' | '.join(known)} |\n|---|{'---|' * len(known)}")
    for name, has in rows:
        if options.all or not all(has):
            print(f"| `{name}` | {' | '.join('yes' if one else '**no**' for one in has)} |")
    missing = sum(not all(has) for _, has in rows)
    print(f"\n{len(rows)} names; {missing} of them missing somewhere.")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
