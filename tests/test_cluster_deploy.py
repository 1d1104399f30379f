"""The files that place shards: the unit as systemd takes it, the manifest as typed."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from sfm_stream.cluster.shards import parse
from tests.test_pages import understood

DEPLOY = Path(__file__).parents[1] / "sfm_stream/cluster/deploy"
UNIT, MANIFEST = DEPLOY / "sfm-stream@.service", DEPLOY / "statefulset.json"
QUANTITY = re.compile(r"\d+(m|Ki|Mi|Gi|Ti)?")


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """An object of the Kubernetes API, of which these fields are used."""


class Metadata(Strict):
    labels: dict[str, str]
    name: str = ""


class HttpGet(Strict):
    path: str
    port: int | str


class Probe(Strict):
    http_get: HttpGet
    period_seconds: int
    failure_threshold: int = 3
    timeout_seconds: int = 1


class FieldRef(Strict):
    field_path: str


class ValueFrom(Strict):
    field_ref: FieldRef


class Variable(Strict):
    name: str
    value: str = ""
    value_from: ValueFrom | None = None


class Port(Strict):
    name: str
    container_port: int = 0
    port: int = 0


class Mount(Strict):
    name: str
    mount_path: str
    read_only: bool = False


class Resources(Strict):
    requests: dict[str, str]
    limits: dict[str, str] = {}


class Container(Strict):
    name: str
    image: str
    args: list[str]
    env: list[Variable]
    ports: list[Port]
    startup_probe: Probe
    liveness_probe: Probe
    readiness_probe: Probe
    resources: Resources
    volume_mounts: list[Mount]


class Claim(Strict):
    claim_name: str


class ConfigMap(Strict):
    name: str


class Volume(Strict):
    name: str
    persistent_volume_claim: Claim | None = None
    config_map: ConfigMap | None = None


class PodSpec(Strict):
    termination_grace_period_seconds: int
    containers: list[Container]
    volumes: list[Volume]


class Template(Strict):
    metadata: Metadata
    spec: PodSpec


class Selector(Strict):
    match_labels: dict[str, str]


class Ordinals(Strict):
    start: int


class StatefulSetSpec(Strict):
    service_name: str
    replicas: int
    ordinals: Ordinals
    pod_management_policy: Literal["OrderedReady", "Parallel"]
    selector: Selector
    template: Template


class StatefulSet(Strict, tag="StatefulSet", tag_field="kind"):
    api_version: Literal["apps/v1"]
    metadata: Metadata
    spec: StatefulSetSpec


class ServiceSpec(Strict):
    cluster_i_p: str = msgspec.field(name="clusterIP")
    selector: dict[str, str]
    ports: list[Port]


class Service(Strict, tag="Service", tag_field="kind"):
    api_version: Literal["v1"]
    metadata: Metadata
    spec: ServiceSpec


class VolumeClaimSpec(Strict):
    access_modes: list[Literal["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany"]]
    resources: Resources


class VolumeClaim(Strict, tag="PersistentVolumeClaim", tag_field="kind"):
    api_version: Literal["v1"]
    metadata: Metadata
    spec: VolumeClaimSpec


class Manifest(Strict):
    api_version: Literal["v1"]
    kind: Literal["List"]
    items: list[StatefulSet | Service | VolumeClaim]


@pytest.fixture
def manifest():
    service, claim, stateful = msgspec.json.decode(
        MANIFEST.read_bytes(), type=Manifest
    ).items
    return service, claim, stateful


def replaced(text, known):
    return re.sub(r"\$\((\w+)\)", lambda found: known[found[1]], text)


def test_the_manifest_is_of_the_types_of_the_api_and_holds_together(manifest):
    service, claim, stateful = manifest
    spec = stateful.spec
    labels = spec.template.metadata.labels
    assert spec.selector.match_labels == labels == service.spec.selector
    assert spec.service_name == service.metadata.name
    (container,) = spec.template.spec.containers
    volumes = {one.name: one for one in spec.template.spec.volumes}
    assert {mount.name for mount in container.volume_mounts} == set(volumes)
    assert volumes["runs"].persistent_volume_claim.claim_name == claim.metadata.name
    assert claim.spec.access_modes == ["ReadWriteMany"]
    amounts = [*container.resources.requests.values(),
               *container.resources.limits.values(),
               *claim.spec.resources.requests.values()]  # fmt: skip
    assert all(QUANTITY.fullmatch(amount) for amount in amounts)
    probes = (container.startup_probe, container.liveness_probe,
              container.readiness_probe)  # fmt: skip
    assert {probe.http_get.port for probe in probes} == {container.ports[0].name}
    assert container.ports[0].container_port == service.spec.ports[0].port


def test_each_pod_starts_a_shard_of_its_own_that_the_program_knows(manifest):
    spec = manifest[2].spec
    (container,) = spec.template.spec.containers
    known = {one.name: one.value for one in container.env}
    (index,) = (one for one in container.env if one.value_from is not None)
    assert index.value_from.field_ref.field_path == (
        "metadata.labels['apps.kubernetes.io/pod-index']"
    )
    assert int(known["SHARDS"]) == spec.replicas
    first = spec.ordinals.start
    shards = []
    for number in range(first, first + spec.replicas):
        words = [replaced(w, known | {index.name: str(number)}) for w in container.args]
        understood(words)
        shards.append(parse(words[words.index("--shard") + 1]))
        assert words[words.index("--out") + 1] == f"/runs/shard-{number}"
    assert shards == [(i, spec.replicas) for i in range(1, spec.replicas + 1)]


@pytest.mark.parametrize(
    "breach", [{"replica": 4}, {"replicas": "4"}, {"podManagementPolicy": "Any"}]
)
def test_a_slip_in_the_manifest_is_seen(breach):
    tree: Any = msgspec.json.decode(MANIFEST.read_bytes())
    tree["items"][2]["spec"] |= breach
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(tree, Manifest)


def test_the_unit_starts_what_the_program_knows():
    text = UNIT.read_text()
    (line,) = re.findall(r"^ExecStart=(.+)$", text, re.MULTILINE)
    words = shlex.split(line.replace("%i", "2").replace("${SHARDS}", "4"))[1:]
    understood(words)
    assert parse(words[words.index("--shard") + 1]) == (2, 4)
    assert "Type=notify\n" in text


def test_systemd_takes_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("this machine has no systemd")
    path = tmp_path / "sfm-stream@1.service"
    program = re.compile(r"(?<=^ExecStart=)\S+", re.MULTILINE)
    path.write_text(program.sub("/bin/true", UNIT.read_text()))
    said = subprocess.run(  # noqa: S603
        [shutil.which("systemd-analyze"), "verify", path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (said.returncode, said.stderr) == (0, "")
