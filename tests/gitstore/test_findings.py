"""What a remote says of secrets in a push is understood, in each form in which Azure Repos has said it."""

from __future__ import annotations

from nbvault.gitstore.findings import Finding, is_about_secrets, read_findings
from nbvault.gitstore.remote import PushState, parse_push

COMMIT = "ca1b827325ef3fd6b2f6d815360b367ebab85f93"
LISTING = f"""VS403654: The push was rejected because it contains one or more secrets.

Resolve the following secrets before pushing again. For help, see https://aka.ms/advancedsecurity/secret-scanning/push-protection.

Secrets:

commit: {COMMIT}
paths:
/2024/a (b)/x y.py(31,23-75) : SEC101/176 : AzureContainerRegistryIdentifiableKey.
/2024/z.sql(2,1-9) : SEC101/102 : AdoPat.
"""
FOUND = [
    Finding(COMMIT, "2024/a (b)/x y.py", 31, "AzureContainerRegistryIdentifiableKey (SEC101/176)"),
    Finding(COMMIT, "2024/z.sql", 2, "AdoPat (SEC101/102)"),
]


def test_the_listing_with_commits() -> None:
    """As the service prints it, and as its REST API squeezes it into a line."""
    assert read_findings(LISTING) == FOUND
    assert read_findings(" ".join(LISTING.split("\n"))) == FOUND


def test_the_older_listing_without_commits() -> None:
    """Only paths, lines and a number."""
    said = "VS403654: ... secrets.\n\n/src/Test.cs(1325,34-60) : error : CSCAN0220 : hash EHZG=\n"
    assert (is_about_secrets(said), read_findings(said)[0][:3]) == (True, ("", "src/Test.cs", 1325))


def test_other_refusals_are_not_about_secrets() -> None:
    """A policy, or nothing that can be understood."""
    assert not is_about_secrets("TF402455: Pushes to this branch are not permitted")
    assert read_findings("VS403654: The push was rejected.") == []


def test_a_reason_of_many_lines_belongs_to_its_ref() -> None:
    """git prints the service's reason as it came; the refs before and after it are still understood."""
    refused = f"!\tabc:refs/heads/main\t[remote rejected] ({LISTING})\n"
    stdout = f"To https://x\n*\ta:refs/heads/one\t[new branch]\n{refused}=\tb:refs/heads/two\t[up to date]\nDone\n"
    found = parse_push(stdout, "")
    assert [found[f"refs/heads/{name}"].state for name in ("one", "main", "two")] == [
        PushState.OK,
        PushState.REFUSED,
        PushState.UP_TO_DATE,
    ]
    assert read_findings(found["refs/heads/main"].reason) == FOUND
