"""Trees appear in a layer as the very files of the host."""

from pathlib import Path

from local_cluster.linked_layer import link_trees


def test_files_keep_their_paths_and_share_their_content(tmp_path: Path) -> None:
    source, root = tmp_path / "host" / "package", tmp_path / "root"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "file").write_text("content")
    (source / "link").symlink_to("inner/file")
    (tmp_path / "host" / "single").write_text("alone")
    root.mkdir()

    link_trees([source, tmp_path / "host" / "single"], root)

    placed = root / source.relative_to("/")
    assert (placed / "inner" / "file").samefile(source / "inner" / "file")
    assert (placed / "link").readlink() == Path("inner/file")
    assert (root / str(tmp_path).lstrip("/") / "host" / "single").read_text() == "alone"


def test_a_file_that_the_host_replaces_stays_as_it_was_in_the_layer(tmp_path: Path) -> None:
    source, root = tmp_path / "host" / "package", tmp_path / "root"
    source.mkdir(parents=True)
    (source / "module.py").write_text("old")
    root.mkdir()
    link_trees([source], root)

    replacement = source / "module.py.new"
    replacement.write_text("new")
    replacement.replace(source / "module.py")

    assert (root / source.relative_to("/") / "module.py").read_text() == "old"


def test_trees_can_be_put_into_a_folder_of_the_image(tmp_path: Path) -> None:
    source = tmp_path / "clone" / "environment"
    source.mkdir(parents=True)
    (source / "file").write_text("content")

    link_trees([source], tmp_path / "root", Path("/opt/paddock"))

    assert (tmp_path / "root/opt/paddock/environment/file").samefile(source / "file")
