"""SciTokens and WLCG tokens: a JWT in a file, put there by htgettoken, a managed token service or a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from integrations.catalogue.declared import Setting
from integrations.credentials.base import Life, moment


class SciToken:
    """Kind `scitoken`. Without a vault in the settings, POMS only looks at the file."""

    word = "token"
    reads = "token"
    settings: Mapping[str, Setting] = {
        "vault": Setting("the host of the vault, for htgettoken -a"),
        "issuer": Setting("the issuer, for htgettoken -i"),
        "vault_role": Setting("the role at the issuer, for htgettoken -r: default or production"),
        "credkey": Setting("the key of the credential in the vault, for htgettoken --credkey"),
        "vault_token_file": Setting("the file with the token of the vault, for htgettoken --vaulttokeninfile"),
    }

    def life(self, found: Mapping[str, Any]) -> Life:
        """Return when the claims begin and end."""
        claims = found["claims"]
        ends_at = moment(claims.get("exp"))
        if "exp" in claims and ends_at is None:
            return Life(unusable="its claim exp is no moment")
        begins = claims.get("iat") if claims.get("iat") is not None else claims.get("nbf")
        return Life(ends_at, moment(begins))

    def environment(self, path: str, settings: Mapping[str, str]) -> dict[str, str]:
        """Return the file, the options with which htgettoken gets the next one, and that nothing is to store it."""
        found = {"BEARER_TOKEN_FILE": path, "_condor_SEC_CREDENTIAL_STORER": "/bin/true"}
        if settings.get("vault"):
            found["HTGETTOKENOPTS"] = " ".join(_options(settings))
        return found

    def renewal(self, path: str, settings: Mapping[str, str]) -> list[str]:
        """Return htgettoken, which asks nobody: where the vault wants a browser, a person has to do it."""
        if not settings.get("vault"):
            return []
        return ["htgettoken", *_options(settings), "--nooidc", "-o", path]


def _options(settings: Mapping[str, str]) -> list[str]:
    found = ["-a", settings["vault"]]
    for option, name in (("-i", "issuer"), ("-r", "vault_role")):
        if settings.get(name):
            found += [option, settings[name]]
    for option, name in (("--credkey", "credkey"), ("--vaulttokeninfile", "vault_token_file")):
        if settings.get(name):
            found.append(f"{option}={settings[name]}")
    return found
