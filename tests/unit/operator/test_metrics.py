"""What requests are counted under."""

import pytest

from paddock.operator.metrics import resource_of


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/apis/apps/v1/namespaces/models/statefulsets/a-0?fieldManager=x", "statefulsets"),
        ("/api/v1/pods?watch=true", "pods"),
        ("/api/v1/namespaces/models/services", "services"),
        ("/apis/paddock.dev/v1alpha1/namespaces/models/inferenceservices/a/status", "inferenceservices"),
        ("/apis/apiregistration.k8s.io/v1/apiservices/v1beta2.custom.metrics.k8s.io", "apiservices"),
        ("/apis/paddock.dev/v1alpha1", ""),
    ],
)
def test_a_request_counts_for_the_resource_that_it_is_about(path: str, resource: str) -> None:
    assert resource_of(path) == resource
