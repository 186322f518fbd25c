"""Files that arguments name come into the pods from Secrets and ConfigMaps, by `template.volumes`."""

import json
import subprocess
from pathlib import Path

import pytest
from asking import reaching
from installed import Cluster, available, engine_pods
from kubectl import Kubectl, Manifest
from manifests import inference_service

MIDDLEWARE = """
async def sign(request, call_next):
    response = await call_next(request)
    response.headers["X-Signed-By"] = "a module from a ConfigMap"
    return response
"""
LOGGING = {
    "version": 1,
    "formatters": {"marked": {"format": "MARKED %(message)s"}},
    "handlers": {"out": {"class": "logging.StreamHandler", "formatter": "marked"}},
    "root": {"level": "INFO", "handlers": ["out"]},
}
TEMPLATE = "{% for m in messages %}{{ m.content }} {% endfor %}"
ASK = """
import json, ssl, urllib.request
trusted = ssl.create_default_context(cadata={authority!r}) if {authority!r} else None
with urllib.request.urlopen({url!r}, context=trusted, timeout=30) as response:
    print(json.dumps({{"status": response.status, "headers": dict(response.headers)}}))
"""


def get(client: Kubectl, url: str, authority: str = "") -> Manifest:
    """Status and headers of one GET from inside the cluster; `authority` is the certificate to trust."""
    script = reaching(url) + ASK.format(url=url, authority=authority)
    answer: Manifest = json.loads(client.exec_python("client", script))
    return answer


def certificate(folder: Path, host: str) -> tuple[str, str]:
    """A self-signed certificate for `host` and its key, as text."""
    key, cert = folder / "tls.key", folder / "tls.crt"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-subj", "/CN=tiny", "-addext", f"subjectAltName=DNS:{host}", "-days", "2"]
    command += ["-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert.read_text(), key.read_text()


def secret(name: str, data: dict[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def config_map(name: str, data: dict[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_a_service_speaks_https_with_a_certificate_from_a_secret(
    cluster: Cluster, models: Kubectl, client: Kubectl, tmp_path: Path
) -> None:
    cert, key = certificate(tmp_path, f"tiny.{models.namespace}.svc")
    models.apply(secret("tiny-tls", {"tls.crt": cert, "tls.key": key}))
    models.apply(
        inference_service(
            "tiny",
            cluster.model_uri,
            frontend={"sslCertfile": "/tls/tls.crt", "sslKeyfile": "/tls/tls.key", "enableSslRefresh": True},
            template={
                "volumes": [{"name": "tls", "secret": {"secretName": "tiny-tls"}}],
                "volumeMounts": [{"name": "tls", "mountPath": "/tls", "readOnly": True}],
            },
        )
    )

    resource = available(models, "tiny", replicas=1)

    url = resource["status"]["url"]
    assert url == f"https://tiny.{models.namespace}.svc"
    assert get(client, f"{url}/health", cert)["status"] == 200
    [port] = models.get("service", "tiny")["spec"]["ports"]
    assert (port["name"], port["port"], port["appProtocol"]) == ("https", 443, "https")
    shown = {each["argument"]: each for each in resource["status"]["configuration"]}
    assert shown["ssl-certfile"] == {
        "argument": "ssl-certfile", "value": "/tls/tls.crt", "origin": "spec.frontend.sslCertfile",
    }  # fmt: skip


def test_modules_templates_and_logging_come_from_a_config_map(
    cluster: Cluster, models: Kubectl, client: Kubectl
) -> None:
    files = {"signing.py": MIDDLEWARE, "logging.json": json.dumps(LOGGING), "chat.jinja": TEMPLATE}
    models.apply(config_map("tiny-files", files))
    models.apply(
        inference_service(
            "tiny",
            cluster.model_uri,
            frontend={
                "middleware": ["signing.sign"],
                "logConfigFile": "/files/logging.json",
                "chatTemplate": "/files/chat.jinja",
            },
            template={
                "env": [{"name": "PYTHONPATH", "value": "/files"}],
                "volumes": [{"name": "files", "configMap": {"name": "tiny-files"}}],
                "volumeMounts": [{"name": "files", "mountPath": "/files", "readOnly": True}],
            },
        )
    )

    resource = available(models, "tiny", replicas=1)

    headers = get(client, f"{resource['status']['url']}/health")["headers"]
    assert headers["x-signed-by"] == "a module from a ConfigMap"
    [pod] = engine_pods(models, "tiny")
    assert "MARKED" in models.run("logs", pod["metadata"]["name"])


def test_the_status_shows_the_configuration_and_does_not_change_when_nothing_does(
    cluster: Cluster, models: Kubectl
) -> None:
    models.run("create", "secret", "generic", "keys", "--from-literal=key=sesame")
    key = {"apiKeySecretRef": {"name": "keys", "key": "key"}}
    models.apply(inference_service("tiny", cluster.model_uri, frontend=key))
    resource = available(models, "tiny", replicas=1)

    shown = {
        each["argument"]: (each["value"], each["origin"]) for each in resource["status"]["configuration"]
    }

    assert shown["max-model-len"] == ("1024", "spec.model.maxModelLen")
    assert shown["api-key"] == ("***", "Secret keys, key key")
    assert "sesame" not in json.dumps(resource)
    models.run("annotate", "infsvc/tiny", "look=again")
    models.run("label", "service", "tiny", "look=again")
    models.run("wait", "--for=condition=Available", "infsvc/tiny", "--timeout=30s")
    assert models.get("infsvc", "tiny")["status"] == resource["status"]


def test_pods_are_protected_by_an_account_a_budget_and_a_policy_of_their_own(
    cluster: Cluster, models: Kubectl
) -> None:
    models.apply(inference_service("tiny", cluster.model_uri, replicas=2))
    available(models, "tiny", replicas=2)

    [first, *_] = engine_pods(models, "tiny")
    budget = models.get("poddisruptionbudget", "tiny-pods")["status"]
    policies = models.list("networkpolicies", "paddock.dev/service=tiny")

    assert first["spec"]["serviceAccountName"] == "tiny-pods"
    assert not any("serviceAccountToken" in json.dumps(volume) for volume in first["spec"]["volumes"])
    assert (budget["expectedPods"], budget["disruptionsAllowed"]) == (2, 1)
    # Generation 1: applied once, and never again by the passes that followed.
    written = {policy["metadata"]["name"]: policy["metadata"]["generation"] for policy in policies}
    assert written == {"tiny": 1}


def test_a_deleted_or_edited_child_is_restored_and_no_pod_restarts(cluster: Cluster, models: Kubectl) -> None:
    models.apply(inference_service("tiny", cluster.model_uri))
    available(models, "tiny", replicas=1)
    [before] = engine_pods(models, "tiny")

    models.run("delete", "networkpolicy,poddisruptionbudget,service", "--all")
    edit = '{"spec": {"template": {"spec": {"enableServiceLinks": true}}}}'
    models.run("patch", "statefulset/tiny-0", "--type=merge", "--patch", edit)

    for kind, name in (("networkpolicy", "tiny"), ("poddisruptionbudget", "tiny-pods"), ("service", "tiny")):
        models.run("wait", "--for=create", f"{kind}/{name}", "--timeout=30s")
    links = "jsonpath={.spec.template.spec.enableServiceLinks}=false"
    models.run("wait", f"--for={links}", "statefulset/tiny-0", "--timeout=30s")
    available(models, "tiny", replicas=1)
    [after] = engine_pods(models, "tiny")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0


@pytest.mark.long
def test_a_pod_whose_stateful_set_went_without_it_goes_when_another_serves(
    cluster: Cluster, models: Kubectl
) -> None:
    models.apply(inference_service("tiny", cluster.model_uri))
    available(models, "tiny", replicas=1)

    models.run("delete", "statefulset/tiny-0", "--cascade=orphan")

    models.run("wait", "--for=create", "pod/tiny-1-0", "--timeout=30s")
    available(models, "tiny", replicas=1)
    [pod] = engine_pods(models, "tiny")
    assert pod["metadata"]["name"] == "tiny-1-0"
