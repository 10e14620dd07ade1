"""Where a page's messages are posted: what it names, where its WordPress lies, or a guess."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from tailrace import errors
from tailrace.providers._page import MovedEndpoint, announced_roots, endpoint_of


def test_the_endpoint_of_a_page() -> None:
    """Where a page's server and what it names agree, and where its policy asks for https."""
    path = "/wp-admin/admin-ajax.php"
    for page_url, named, upgrades, url in (
        ("http://a.example/help", "https://a.example/x", False, "https://a.example/x"),
        ("http://a.example:8080/help", "https://a.example:8080/x", False, None),
        ("https://a.example/help", "http://a.example/x", True, "https://a.example/x"),
        ("https://a.example/help", "http://a.example:80/x", True, "https://a.example/x"),
        ("https://a.example:8443/help", "http://a.example:8443/x", True, None),
        ("https://A.example/help", "//a.EXAMPLE/x?lang=de", False, "https://a.example/x?lang=de"),
        ("http://b\xfccher.example/", "http://xn--bcher-kva.example/x", False, None),
    ):
        found = endpoint_of(page_url, None, named, upgrades=upgrades)
        expected = url or named.replace("http:", "https:" if upgrades else "http:")
        assert (found.url, found.is_guess) == (expected, False)
    for page_url, named in (
        ("https://a.example/help", "http://a.example/x"),
        ("https://a.example:8443/help", "https://a.example/x"),
        ("http://a.example/help", "https://a.example:8443/x"),
        ("http://a.example/help", "http://www.a.example/x"),
    ):
        with pytest.raises(errors.EndpointError):
            endpoint_of(page_url, None, named)
    assert endpoint_of("http://a.example/b/c", None, None) == (f"http://a.example{path}", True)
    elsewhere, here = "https://cdn.example/", "//a.example/blog/"
    found = endpoint_of("https://a.example/blog/help", None, None, [elsewhere, here])
    assert found == (f"https://a.example/blog{path}", False)
    assert endpoint_of("https://a.example/", None, None, ["mailto:a", elsewhere]).is_guess


@pytest.mark.parametrize(
    ("path", "named", "roots", "posted_to"),
    [
        ("/wp-admin/admin-ajax.php", None, [], "/wp-admin/admin-ajax.php"),
        ("/wp-admin/admin-ajax.php", "/b/ajax", ["/c/"], "/b/ajax"),
        (
            "/wp-admin/admin-ajax.php",
            None,
            ["//else.example/", "/c/"],
            "/c/wp-admin/admin-ajax.php",
        ),
        ("/wp-admin/admin-ajax.php", "//else.example/x", [], "/wp-admin/admin-ajax.php"),
        # A place of its owner's own is not where the usual one would be.
        ("/own.php", None, ["/c/"], "/own.php"),
        ("/own.php", "/b/ajax", [], "/b/ajax"),
    ],
)
def test_what_a_page_tells_counts_before_an_endpoint_stated_for_another(
    path: str, named: str | None, roots: list[str], posted_to: str
) -> None:
    here = "https://a.example"
    found = endpoint_of(f"{here}/page", MovedEndpoint(here + path), named, roots)
    assert found == (here + posted_to, False)
    # What is stated for this site counts before all.
    assert endpoint_of(f"{here}/page", here + path, named, roots).url == here + path


@pytest.mark.parametrize(
    ("link", "roots"),
    [
        ('<http://a.example/blog/wp-json/>; rel="https://api.w.org/"', ["http://a.example/blog/"]),
        (
            "<http://a.example/index.php?rest_route=/>; rel=https://api.w.org/",
            ["http://a.example/"],
        ),
        ('</x>; rel=preload, </b/wp-json/>; rel="https://api.w.org/"', ["/b/"]),
        ("</b/wp-json/>; rel=next", []),
        ("<" * 99_999, []),
    ],
)
def test_the_folder_that_a_header_announces(link: str, roots: list[str]) -> None:
    assert announced_roots({"link": link}) == roots
    several = CIMultiDict([("Link", "</p>; rel=shortlink"), ("Link", link)])
    assert announced_roots(several) == roots
