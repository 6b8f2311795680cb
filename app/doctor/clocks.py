"""Whether two clocks agree."""

from app.doctor.finding import Finding, ok, warning

APART = 2.0  # seconds: an older tick is dropped on arrival


def compared(subject: str, whose: str, told: float, sent: float, received: float) -> Finding:
    """A clock's reading against this machine's, which was read at `sent` and `received` around it."""
    apart = told - received if told > received else min(0.0, told - sent)
    if abs(apart) <= APART:
        return ok(subject, f"{whose} clock agrees with this machine's within {APART:g} s")
    return warning(
        subject,
        f"{whose} clock is {abs(apart):,.1f} s {'ahead of' if apart > 0 else 'behind'} this machine's",
        "synchronise both by NTP (chrony, systemd-timesyncd): ticks that look old are dropped",
    )
