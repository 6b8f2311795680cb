"""Which addresses webhooks may reach: those of the public internet, and what the operator has named.

The table of addresses that are not public is `ssrfguard`'s, made from IANA's registries; it also looks inside
addresses that carry another one, such as ::ffff:127.0.0.1 and those of NAT64.
"""

import ipaddress

from ssrfguard import DEFAULT_DENIED

from config import settings

# Azure's own server in every virtual machine: public by its number, and none of the internet's.
WIRE_SERVER = ipaddress.ip_address("168.63.129.16")


def refusal(address: str, scheme: str) -> str | None:
    """Why nothing may be sent to this address by this scheme; None when it may.

    `address` is as a socket takes it, with a zone or without.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    found = getattr(found, "ipv4_mapped", None) or found
    if any(found in network for network in settings.current().webhook_networks):
        return None
    verdict = DEFAULT_DENIED.classify(found)
    if verdict.blocked or found == WIRE_SERVER:
        what = verdict.block.name if verdict.blocked and verdict.block else "a cloud's own server"
        return f"{found} is not a public address ({what}): the operator allows such ones by WEBHOOK_NETWORKS"
    if scheme != "https":
        return f"{found} is a public address: send to it by https, not {scheme}"
    return None
