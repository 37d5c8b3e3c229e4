"""Addresses as they are published: without passwords and signatures."""

import pytest

from trashnet.params import public_address


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("https://me:p@ss@host/a%20b.zip?sig=1#2", "https://host/a%20b.zip"),
        ("http://token@host:8080/x,y.zip?a=1,2", "http://host:8080/x,y.zip"),
        ("simplecache::https://me:pass@host/x.zip?sig=1", "simplecache::https://host/x.zip"),
        ("sftp://me:pass@host/x.zip", "sftp://host/x.zip"),
        ('["https://a/x?sig=1","https://b/y"]', '["https://a/x","https://b/y"]'),
        ("https://host/x y.zip?sig=1 said 404", "https://host/x y.zip said 404"),
        ("https://[::1", "https://[::1"),
        ("gs://bucket/a?b#c.zip", "gs://bucket/a?b#c.zip"),
        ("abfs://container@account/x", "abfs://container@account/x"),
        ("/photos/a@b?c", "/photos/a@b?c"),
    ],
)
def test_published_addresses_hold_no_password_and_no_signature(text: str, public: str) -> None:
    assert public_address(text) == public


def test_address_in_capitals_keeps_its_secrets_too() -> None:
    shown = public_address("HTTPS://token@host/photos.zip?sig=secret could not be fetched")

    assert shown == "HTTPS://host/photos.zip could not be fetched"
