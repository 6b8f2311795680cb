"""Whether two clocks agree."""

from app.doctor.finding import Finding, ok, warning

MAX_DRIFT = 2.0  # seconds: an older tick is dropped on arrival


def compared(subject: str, whose: str, reported: float, sent: float, received: float) -> Finding:
    """A clock's reading against this machine's, which was read at `sent` and `received` around it."""
    drift = reported - received if reported > received else min(0.0, reported - sent)
    if abs(drift) <= MAX_DRIFT:
        return ok(subject, f"{whose} clock agrees with this machine's within {MAX_DRIFT:g} s")
    return warning(
        subject,
        f"{whose} clock is {abs(drift):,.1f} s {'ahead of' if drift > 0 else 'behind'} this machine's",
        "synchronise both by NTP (chrony, systemd-timesyncd): ticks that look old are dropped",
    )
