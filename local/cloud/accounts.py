"""Who may call the local cloud. Made-up keys, checked as strictly as real ones."""

from __future__ import annotations

from shared.credentials import Credentials

# A RAM user's long-lived key, and the temporary key of the functions' role.
USER = Credentials("LTAI5tLocalCloudUser0001", "local-cloud-user-secret-00000001")
ROLE = Credentials("STS.LocalCloudRole0001", "local-cloud-role-secret-00000001", "CAIS-local-cloud-role-token-00000001")
# That key as it was before: its token has ended since.
ENDED = Credentials(
    "STS.LocalCloudRole0000", "local-cloud-role-secret-00000000", "CAIS-local-cloud-role-token-00000000"
)

ACCOUNTS = {account.access_key_id: account for account in (USER, ROLE)}
