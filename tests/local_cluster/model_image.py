"""Pack a model folder as an OCI image, for `oci://` model sources (Kubernetes image volumes, KEP-4639)."""

import hashlib
import re
from pathlib import Path

from local_cluster.directories import cache_root
from local_cluster.errors import ClusterError
from local_cluster.oci_archive import ImageConfig, layer_file, read_layer, write_archive
from local_cluster.progress import Step
from local_cluster.running_cluster import Cluster

TAG_CHARACTERS = 12
REFERENCE = re.compile(r"[a-z0-9][a-z0-9._/:-]*:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def load_model_image(cluster: Cluster, folder: Path, image: str | None) -> str:
    """Load `folder` (its files at the image's root) into every node and return the image's name.

    Raises ClusterError for a folder without config.json and for a malformed `image`.
    """
    if not (folder / "config.json").is_file():
        raise ClusterError(
            f"{folder} holds no config.json, so it is no model folder; give the folder of a checkpoint"
        )
    if image is not None and not REFERENCE.fullmatch(image):
        raise ClusterError(f"--image {image!r} is not REPOSITORY:TAG, such as localhost/models/tiny:1")
    images = cache_root() / "images"
    layer_path = (
        images / f"model-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:TAG_CHARACTERS]}.layer"
    )
    archive = layer_path.with_suffix(".tar")
    with Step(f"Packing and loading {folder}"):
        try:
            with layer_file(layer_path) as layer:
                layer.tree(folder, "")
            packed = read_layer(layer_path)
            tag = packed.digest.removeprefix("sha256:")[:TAG_CHARACTERS]
            name = image or f"localhost/models/{folder.resolve().name.lower()}:{tag}"
            write_archive(archive, name, [packed], ImageConfig())
            for node in cluster.nodes:
                node.ctr("images", "import", archive)
        finally:
            # The nodes hold the content now; weights need not lie in the cache a second time.
            layer_path.unlink(missing_ok=True)
            archive.unlink(missing_ok=True)
    return name
