"""OSS's side of the sandbox, through the real oss2 and alibabacloud-oss-v2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import alibabacloud_oss_v2 as oss
import oss2
import pytest
import requests
from alibabacloud_oss_v2 import exceptions as oss_errors

from include.sandbox import Endpoints, Sandbox

from .conftest import control

STANDARD = {"x-oss-range-behavior": "standard"}


@pytest.fixture
def client(endpoints: Endpoints) -> oss.Client:
    return new_client(endpoints)


def new_client(endpoints: Endpoints, **keys: Any) -> oss.Client:
    config = oss.config.load_default()
    config.region = "cn-sandbox"
    config.endpoint = endpoints.oss
    config.signature_version = keys.pop("signature_version", "v4")
    config.retry_max_attempts = 1
    given = {"access_key_id": endpoints.access_key_id, "access_key_secret": endpoints.access_key_secret}
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(**{**given, **keys})
    return oss.Client(config)


def old_auth(endpoints: Endpoints) -> oss2.Auth:
    return oss2.Auth(endpoints.access_key_id, endpoints.access_key_secret)


def new_auth(endpoints: Endpoints) -> oss2.AuthV4:
    return oss2.AuthV4(endpoints.access_key_id, endpoints.access_key_secret)


@pytest.fixture(params=[old_auth, new_auth])
def either(request: pytest.FixtureRequest, endpoints: Endpoints) -> oss2.Bucket:
    auth: Callable[[Endpoints], Any] = request.param
    return oss2.Bucket(auth(endpoints), endpoints.oss, endpoints.bucket, region="cn-sandbox")


# -- who may ----------------------------------------------------------------------------------------


def test_both_signatures_of_oss2_work_on_awkward_keys(either: oss2.Bucket) -> None:
    key = "models/a b+漢&=?#%.config"
    either.put_object(key, "text", headers={"x-oss-meta-owner": "me", "Content-Type": "text/plain"})
    found = either.get_object(key)
    assert found.read() == b"text"
    assert found.headers["x-oss-meta-owner"] == "me"
    assert found.headers["Content-Type"] == "text/plain"
    assert [each.key for each in oss2.ObjectIteratorV2(either, prefix="models/a b+")] == [key]
    assert either.get_object_meta(key).content_length == 4


@pytest.mark.parametrize("auth", [oss2.Auth, oss2.AuthV4])
def test_wrong_keys_are_refused_with_the_codes_of_oss(endpoints: Endpoints, auth: Any) -> None:
    def bucket(key: str, secret: str) -> oss2.Bucket:
        return oss2.Bucket(auth(key, secret), endpoints.oss, endpoints.bucket, region="cn-sandbox")

    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket("LTAIwrong", "x").get_object("a")
    assert (caught.value.status, caught.value.code) == (403, "InvalidAccessKeyId")
    with pytest.raises(oss2.exceptions.SignatureDoesNotMatch) as caught:
        bucket(endpoints.access_key_id, "x").put_object("a", b"x")
    assert endpoints.access_key_secret not in str(caught.value)


@pytest.mark.parametrize("version", ["v1", "v4"])
def test_the_newer_client_works_with_both_signatures(endpoints: Endpoints, version: str) -> None:
    client = new_client(endpoints, signature_version=version)
    client.put_object(oss.PutObjectRequest(bucket=endpoints.bucket, key="a b/漢", body=b"x"))
    assert client.get_object(oss.GetObjectRequest(bucket=endpoints.bucket, key="a b/漢")).body.read() == b"x"
    wrong = new_client(endpoints, signature_version=version, access_key_secret="x")
    with pytest.raises(oss_errors.OperationError) as caught:
        wrong.get_object(oss.GetObjectRequest(bucket=endpoints.bucket, key="a"))
    assert caught.value.unwrap().code == "SignatureDoesNotMatch"


@pytest.mark.parametrize("auth_version", [oss2.AUTH_VERSION_1, oss2.AUTH_VERSION_4])
def test_temporary_credentials_work_until_they_expire(endpoints: Endpoints, auth_version: str) -> None:
    def bucket(seconds: float, token: str = "") -> oss2.Bucket:
        keys = control(endpoints, "POST", "/sts", {"seconds": seconds})
        auth = oss2.StsAuth(
            keys["access_key_id"],
            keys["access_key_secret"],
            token or keys["security_token"],
            auth_version=auth_version,
        )
        return oss2.Bucket(auth, endpoints.oss, endpoints.bucket, region="cn-sandbox")

    bucket(60).put_object("a", b"x")
    with pytest.raises(oss2.exceptions.ServerError, match="SecurityTokenExpired"):
        bucket(-1).get_object("a")
    with pytest.raises(oss2.exceptions.ServerError, match="InvalidSecurityToken"):
        bucket(60, token="other").get_object("a")


def test_a_presigned_url_opens_one_object_for_a_while(either: oss2.Bucket) -> None:
    either.put_object("a/b c.html", b"<p>")
    assert requests.get(either.sign_url("GET", "a/b c.html", 60), timeout=10).content == b"<p>"
    assert requests.get(either.sign_url("GET", "a/b c.html", -60), timeout=10).status_code == 403
    tampered = either.sign_url("GET", "a/b c.html", 60).replace("b%20c", "other")
    assert requests.get(tampered, timeout=10).status_code == 403
    assert requests.get(tampered.partition("?")[0], timeout=10).status_code == 403


def test_a_clock_that_is_wrong_by_an_hour_is_refused(
    endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oss2.utils.http_date", lambda: "Mon, 23 Nov 2020 21:09:41 GMT")
    bucket = oss2.Bucket(old_auth(endpoints), endpoints.oss, endpoints.bucket)
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.get_object("a")
    assert (caught.value.status, caught.value.code) == (403, "RequestTimeTooSkewed")


def test_a_bucket_or_object_that_is_not_there_is_told_apart(
    endpoints: Endpoints, bucket: oss2.Bucket
) -> None:
    with pytest.raises(oss2.exceptions.NoSuchKey):
        bucket.get_object("nosuch")
    with pytest.raises(oss2.exceptions.NotFound):
        bucket.head_object("nosuch")
    assert not bucket.object_exists("nosuch")
    other = oss2.Bucket(new_auth(endpoints), endpoints.oss, "other-bucket", region="cn-sandbox")
    with pytest.raises(oss2.exceptions.NoSuchBucket):
        other.get_object("nosuch")
    with pytest.raises(oss2.exceptions.NoSuchBucket):
        other.object_exists("nosuch")
    assert bucket.get_bucket_info().name == endpoints.bucket
    assert bucket.get_bucket_location().location == "oss-cn-sandbox"
    service = oss2.Service(new_auth(endpoints), endpoints.oss, region="cn-sandbox")
    assert [each.name for each in oss2.BucketIterator(service)] == [endpoints.bucket]


# -- objects ----------------------------------------------------------------------------------------


def test_an_object_changes_as_a_whole_and_its_digests_with_it(bucket: oss2.Bucket) -> None:
    first = bucket.put_object("a", b"12345")
    second = bucket.put_object("a", b"54321")
    assert first.etag != second.etag
    found = bucket.head_object("a")
    assert (found.etag, found.headers["x-oss-hash-crc64ecma"]) == (second.etag, str(second.crc))
    assert bucket.get_object("a").read() == b"54321"


def test_a_range_beyond_the_object_gives_everything_unless_asked_properly(bucket: oss2.Bucket) -> None:
    bucket.put_object("a", b"0123456789")
    assert bucket.get_object("a", byte_range=(2, 4)).read() == b"234"
    assert bucket.get_object("a", byte_range=(None, 3)).read() == b"789"
    for beyond in ((10, None), (10, 12), (5, 12)):
        answer = bucket.get_object("a", byte_range=beyond)
        assert (answer.status, answer.read()) == (200, b"0123456789")
    answer = bucket.get_object("a", byte_range=(5, 12), headers=STANDARD)
    assert (answer.status, answer.read()) == (206, b"56789")
    for beyond in ((10, None), (10, 12)):
        with pytest.raises(oss2.exceptions.ServerError) as caught:
            bucket.get_object("a", byte_range=beyond, headers=STANDARD)
        assert (caught.value.status, caught.value.code) == (416, "InvalidRange")
    bucket.put_object("empty", b"")
    with pytest.raises(oss2.exceptions.ServerError, match="416"):
        bucket.get_object("empty", byte_range=(0, None), headers=STANDARD)


def test_conditions_on_the_etag_are_honoured(bucket: oss2.Bucket) -> None:
    etag = bucket.put_object("a", b"x").etag
    with pytest.raises(oss2.exceptions.NotModified):
        bucket.get_object("a", headers={"If-None-Match": f'"{etag}"'})
    with pytest.raises(oss2.exceptions.PreconditionFailed):
        bucket.get_object("a", headers={"If-Match": "other"})
    assert bucket.get_object("a", headers={"If-Match": etag, "If-None-Match": "other"}).read() == b"x"


def test_what_must_not_be_overwritten_is_not(bucket: oss2.Bucket) -> None:
    once = {"x-oss-forbid-overwrite": "true"}
    bucket.put_object("marker", b"mine", headers=once)
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.put_object("marker", b"yours", headers=once)
    assert (caught.value.status, caught.value.code) == (409, "FileAlreadyExists")
    with pytest.raises(oss2.exceptions.ServerError, match="FileAlreadyExists"):
        bucket.copy_object(bucket.bucket_name, "marker", "marker", headers=once)
    assert bucket.get_object("marker").read() == b"mine"


def test_appends_grow_an_object_and_insist_on_the_right_position(bucket: oss2.Bucket) -> None:
    assert bucket.append_object("log", 0, b"abc").next_position == 3
    assert bucket.append_object("log", 3, b"def", init_crc=None).next_position == 6
    with pytest.raises(oss2.exceptions.PositionNotEqualToLength) as caught:
        bucket.append_object("log", 3, b"!")
    assert caught.value.next_position == 6
    found = bucket.head_object("log")
    assert (found.object_type, found.content_length) == ("Appendable", 6)
    bucket.put_object("plain", b"x")
    with pytest.raises(oss2.exceptions.ServerError, match="ObjectNotAppendable"):
        bucket.append_object("plain", 1, b"y")


def test_a_copy_is_an_object_of_its_own(bucket: oss2.Bucket) -> None:
    bucket.put_object("from", b"x")
    bucket.copy_object(bucket.bucket_name, "from", "to")
    bucket.delete_object("from")
    assert bucket.get_object("to").read() == b"x"
    with pytest.raises(oss2.exceptions.NoSuchKey):
        bucket.copy_object(bucket.bucket_name, "from", "to")


def test_deleting_is_repeatable_and_takes_many_at_once(bucket: oss2.Bucket) -> None:
    keys = ["a&b", "c/d", "漢"]
    for key in keys:
        bucket.put_object(key, b"x")
    bucket.delete_object("nosuch")
    assert bucket.batch_delete_objects(keys[:2]).deleted_keys == keys[:2]
    assert [each.key for each in oss2.ObjectIteratorV2(bucket)] == keys[2:]


@pytest.mark.parametrize("iterator", [oss2.ObjectIterator, oss2.ObjectIteratorV2])
def test_lists_come_in_order_page_by_page_with_folders(bucket: oss2.Bucket, iterator: Any) -> None:
    keys = ["m", "m/", "m/a/1", "m/a/2", "m/b", "m/b+c", "m/b/1", "m/漢", "n"]
    for key in reversed(keys):
        bucket.put_object(key, key)
    assert [each.key for each in iterator(bucket, max_keys=2)] == sorted(keys)
    below = [each.key for each in iterator(bucket, prefix="m/", delimiter="/", max_keys=2)]
    assert below == ["m/", "m/a/", "m/b", "m/b+c", "m/b/", "m/漢"]
    assert list(iterator(bucket, prefix="m/c")) == []


def test_the_newer_client_pages_and_checks_existence(client: oss.Client, endpoints: Endpoints) -> None:
    for number in range(5):
        request = oss.PutObjectRequest(bucket=endpoints.bucket, key=f"k{number}", body=b"x")
        client.put_object(request)
    paginator = client.list_objects_v2_paginator()
    pages = list(paginator.iter_page(oss.ListObjectsV2Request(bucket=endpoints.bucket, max_keys=2)))
    assert [len(page.contents or []) for page in pages] == [2, 2, 1]
    assert client.is_object_exist(endpoints.bucket, "k0")
    assert not client.is_object_exist(endpoints.bucket, "nosuch")


def test_what_a_job_writes_on_disk_is_served_at_once(sandbox: Sandbox, bucket: oss2.Bucket) -> None:
    sandbox.buckets.append("sandbox-bucket", "m/eval_val/events.1", b"abc")
    assert bucket.get_object("m/eval_val/events.1").read() == b"abc"
    sandbox.buckets.append("sandbox-bucket", "m/eval_val/events.1", b"def")
    assert bucket.get_object("m/eval_val/events.1", byte_range=(2, None), headers=STANDARD).read() == b"cdef"
    bucket.put_object("from-client", b"x")
    assert sandbox.buckets.read("sandbox-bucket", "from-client") == b"x"


def test_a_key_cannot_leave_its_bucket(sandbox: Sandbox, bucket: oss2.Bucket) -> None:
    for key in ("../../../escaped", "./.", "a/../b", "/abs", "a//b", "%2e%2e/x"):
        bucket.put_object(key, b"x", headers={"x-oss-meta-a": "1"})
        assert bucket.get_object(key).read() == b"x"
    written = list(sandbox.folder.parent.rglob("escaped*"))
    assert all(path.is_relative_to(sandbox.buckets.root) for path in written)
    assert len(list(oss2.ObjectIteratorV2(bucket))) == 6


def test_a_damaged_upload_is_refused(bucket: oss2.Bucket) -> None:
    with pytest.raises(oss2.exceptions.ServerError, match="InvalidDigest"):
        bucket.put_object("a", b"x", headers={"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="})
    assert not bucket.object_exists("a")


def test_what_the_sandbox_does_not_know_says_so(bucket: oss2.Bucket) -> None:
    with pytest.raises(oss2.exceptions.ServerError) as caught:
        bucket.init_multipart_upload("a")
    assert (caught.value.status, caught.value.code) == (501, "NotImplemented")
