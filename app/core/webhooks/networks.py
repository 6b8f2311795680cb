"""Which addresses webhooks may reach: those of the public internet, and what the operator has named.

The table of addresses that are not public is `ssrfguard`'s, made from IANA's registries; it also looks inside
addresses that carry another one, such as ::ffff:127.0.0.1 and those of NAT64.
"""

import ipaddress

from ssrfguard import DEFAULT_DENIED, AddressTable, Block, Reach

from config import settings


def _denied(network: str, name: str) -> Block:
    return Block(ipaddress.ip_network(network), name, "", Reach.DENIED)


_TABLE = AddressTable(
    (
        *DEFAULT_DENIED.blocks,
        # Public by its number, and none of the internet's, in whatever address it is carried.
        _denied("168.63.129.16/32", "Azure's own server in every virtual machine"),
        # IANA has assigned 2000::/3 alone to the internet; something may be routed elsewhere all the same,
        # such as IPv4 addresses that a translator carries in ::ffff:0:0:0/96.
        *(_denied(rest, "outside of 2000::/3") for rest in ("::/3", "4000::/2", "8000::/1")),
    )
)


def refusal(address: str, scheme: str) -> str | None:
    """Why nothing may be sent to this address by this scheme; None when it may.

    `address` is as a socket takes it, with a zone or without.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    found = getattr(found, "ipv4_mapped", None) or found
    if any(found in network for network in settings.current().webhook_networks):
        return None
    verdict = _TABLE.classify(found)
    if verdict.blocked:
        what = verdict.block.name if verdict.block else "an address in an address"
        return f"{found} is not a public address ({what}): the operator allows such ones by WEBHOOK_NETWORKS"
    if scheme != "https":
        return f"{found} is a public address: send to it by https, not {scheme}"
    return None
